import pytest

from tokenfall.errors import InvalidRequest
from tokenfall.simulator.grammar import KEYS, Simulation, from_pairs, parse
from tokenfall.simulator.values import Fault, GatePosition, Length, Limit, Load, Spread, Status


@pytest.mark.parametrize(
    ("text", "simulation"),
    [
        ("", Simulation()),
        (" , ,", Simulation()),
        ("gap=20ms", Simulation(gap=Spread(0.02))),
        ("gap=20ms~0.3", Simulation(gap=Spread(0.02, 0.3))),
        ("gap=0ms", Simulation(gap=Spread(0.0))),
        ("tps=50", Simulation(gap=Spread(0.02))),
        ("tps=50~0.3", Simulation(gap=Spread(0.02, 0.3))),
        ("tps=0.5", Simulation(gap=Spread(2.0))),
        ("tps=1000000", Simulation(gap=Spread(1e-6))),
        ("ttft=300ms~10", Simulation(ttft=Spread(0.3, 10.0))),
        ("tokens=0", Simulation(tokens=Length(0, 0))),
        ("tokens=120", Simulation(tokens=Length(120, 120))),
        ("tokens=80..200", Simulation(tokens=Length(80, 200))),
        ("tokens=5..5", Simulation(tokens=Length(5, 5))),
        ("tokens=1000000", Simulation(tokens=Length(1_000_000, 1_000_000))),
        ("seed=7", Simulation(seed=7)),
        ("seed=0", Simulation(seed=0)),
        ("limit=rpm=60,tpm=6000", Simulation(limit=Limit(60, 6000))),
        ("limit=tpm=6000 , rpm=60,seed=1", Simulation(limit=Limit(60, 6000), seed=1)),
        ("limit=rpm=60", Simulation(limit=Limit(60))),
        ("text=echo", Simulation(text="echo")),
        ("prefill=40ms", Simulation(prefill_s=0.04)),
        (
            "fault=reset@5+stall@1:5s%0.5",
            Simulation(fault=(Fault("reset", 5), Fault("stall", 1, time_s=5.0, probability=0.5))),
        ),
        ("status=503:retry=3", Simulation(status=(Status(503, retry_after_s=3.0),))),
        ("gate=a@2,load=2@64", Simulation(gate=GatePosition("a", 2), load=Load(2.0, 64))),
        ("profile=groq-70b,script=a.yaml,speed=2.5", Simulation(profile="groq-70b", script="a.yaml", speed=2.5)),
        (" ttft = 1s , seed = 7 ", Simulation(ttft=Spread(1.0), seed=7)),
    ],
)
def test_grammar_parses_to_its_settings(text: str, simulation: Simulation) -> None:
    assert parse(text) == simulation


@pytest.mark.parametrize(
    "text",
    [
        "gap=20",
        "gap=",
        "ttft=fast",
        "tps=0",
        "tokens=" + "9" * 19,
        "text=Echo",
        "text=",
        "fault=melt@1",
        "status=200",
        "limit=rpm=1,rpm=2",
        "gate=a b",
        "load=2",
        "profile=",
        "script=",
        "speed=0",
        "prefill=1",
        "seed=" + "9" * 19,
    ],
)
def test_invalid_value_names_key_value_and_accepted_values(text: str) -> None:
    key, _, value = text.partition("=")
    with pytest.raises(InvalidRequest) as caught:
        parse(text)

    assert caught.value.message == f"simulator: {key} got {value[:40]!r}, takes {KEYS[key][2]}"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("fault=" + "stall@1:5s+" * 8 + "bang@7", "bang@7"),
        ("fault=reset@1++error@2", ""),
        ("status=500+500x", "500x"),
        ("status=" + "+".join(["500"] * 17), "+".join(["500"] * 17)[:40]),
    ],
)
def test_error_names_the_invalid_item_of_several(text: str, wrong: str) -> None:
    key = text.partition("=")[0]
    with pytest.raises(InvalidRequest) as caught:
        parse(text)

    assert caught.value.message == f"simulator: {key} got {wrong!r}, takes {KEYS[key][2]}"


def test_accepted_values_name_every_bound_of_their_key() -> None:
    bounds = {
        "gap": ("us", "ms", "m", "1440m", "10"),
        "ttft": ("us", "1440m", "10"),
        "prefill": ("us", "1440m"),
        "tps": ("above 0", "one day", "1000000", "10"),
        "load": ("1 to 1000,", "1 to 1000000"),
        "tokens": ("from 0 to 1000000",),
        "seed": ("from 0", "18 digits"),
        "fault": ("from 0 up to 1000000", "1440m", "from 0 to 1", "up to 16"),
        "status": ("400 to 599", "from 0 to 1", "86400", "up to 16"),
        "limit": ("from 1",),
        "gate": ("1 to 64", "1000000"),
        "speed": ("above 0 up to 1000",),
    }
    for key, texts in bounds.items():
        for text in texts:
            assert text in KEYS[key][2], key


def test_items_are_separated_by_a_plus_also_if_a_query_string_turns_it_into_a_space() -> None:
    assert parse("fault=reset@5 stall@1:5s") == parse("fault=reset@5+stall@1:5s")
    assert parse("status=429x2 500%0.1") == parse("status=429x2+500%0.1")


@pytest.mark.parametrize("text", ["spede=3", "GAP=20ms", "=20ms", "x" * 50 + "=1"])
def test_unknown_key_error_lists_the_known_keys(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(text)

    key = text.partition("=")[0]
    assert caught.value.message == f"simulator: unknown key {key[:40]!r}; keys: {', '.join(KEYS)}"


def test_rpm_and_tpm_are_keys_only_inside_limit() -> None:
    for text in ("rpm=60", "limit=rpm=60,seed=1,tpm=6000"):
        with pytest.raises(InvalidRequest, match=r"unknown key '[rt]pm'"):
            parse(text)


def test_text_without_key_and_value_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="more than 16384 characters"):
        parse("," * 16_385)
    with pytest.raises(InvalidRequest, match="'fast' is not key=value"):
        parse("gap=20ms,fast")


@pytest.mark.parametrize("text", ["gap=1s,gap=2s", "gap=1s,tps=5", "seed=1,seed=1"])
def test_repeated_key_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="given twice"):
        parse(text)


@pytest.mark.parametrize("text", ["gap=\r\nx", "\x1b[31m", "a\0b=1"])
def test_error_message_has_no_control_characters(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(text)

    assert caught.value.message.isprintable()


def test_query_pairs_are_parsed() -> None:
    assert from_pairs([("gap", "20ms"), ("seed", "7")]) == Simulation(gap=Spread(0.02), seed=7)


def test_inner_settings_override_outer_ones() -> None:
    outer = Simulation(gap=Spread(1.0), seed=1)

    assert outer.overlay(Simulation(gap=Spread(2.0))) == Simulation(gap=Spread(2.0), seed=1)
    assert outer.overlay(Simulation(seed=0, tokens=Length(1, 2))) == Simulation(
        gap=Spread(1.0), seed=0, tokens=Length(1, 2)
    )
    assert outer.overlay(Simulation()) == outer


def test_inner_profile_replaces_outer_times() -> None:
    outer = parse("gap=1ms,ttft=2ms,prefill=3ms,tokens=4")

    assert outer.overlay(parse("profile=groq-70b")) == parse("profile=groq-70b,tokens=4")
    assert outer.overlay(parse("profile=groq-70b,gap=5ms")) == parse("profile=groq-70b,gap=5ms,tokens=4")


def test_simulation_overrides_its_profile_which_overrides_the_defaults() -> None:
    under, times = parse("gap=1ms,ttft=2ms,tokens=4"), parse("gap=10ms,ttft=20ms,prefill=30ms")

    assert parse("profile=p,gap=5ms").over_profile(times, under=under) == parse(
        "profile=p,gap=5ms,ttft=20ms,prefill=30ms,tokens=4"
    )
