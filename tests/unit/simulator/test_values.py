from collections.abc import Callable

import pytest

from tokenfall.simulator import values
from tokenfall.simulator.values import FAULT_KINDS, Fault, GatePosition, Limit, Load, Status

VALID: list[tuple[Callable[[str], object], dict[str, object]]] = [
    (values.seconds, {"250us": 0.00025, "1.5s": 1.5, ".5s": 0.5, "2m": 120.0, "1440m": 86_400.0, "0s": 0.0}),
    (
        values.faults,
        {
            **{f"{kind}@2": (Fault(kind, 2),) for kind in FAULT_KINDS[2:]},
            "reset@0": (Fault("reset", 0),),
            "stall@3:5s": (Fault("stall", 3, time_s=5.0),),
            "drip@3:250ms%0.5": (Fault("drip", 3, time_s=0.25, probability=0.5),),
            "error@7%0": (Fault("error", 7, probability=0.0),),
            "close@1000000%1": (Fault("close", 1_000_000),),
            "split@1+split@2": (Fault("split", 1), Fault("split", 2)),
            "+".join(f"garbage@{at}" for at in range(16)): tuple(Fault("garbage", at) for at in range(16)),
        },
    ),
    (
        values.statuses,
        {
            "400": (Status(400),),
            "599": (Status(599),),
            "429x2": (Status(429, times=2),),
            "429x0": (Status(429, times=0),),
            "500%0.1": (Status(500, probability=0.1),),
            "503:retry=3": (Status(503, retry_after_s=3.0),),
            "503x2%0.5:retry=0.5": (Status(503, times=2, probability=0.5, retry_after_s=0.5),),
            "429x2+500%0.1": (Status(429, times=2), Status(500, probability=0.1)),
        },
    ),
    (values.limit, {"rpm=1": Limit(1), "tpm=6000": Limit(None, 6000), "tpm=6000, rpm=60": Limit(60, 6000)}),
    (values.load, {"2@64": Load(2.0, 64), "1@1": Load(1.0, 1), "1000@1000000": Load(1000.0, 1_000_000)}),
    (values.gate, {"a": GatePosition("a"), "a.b-c_9@5": GatePosition("a.b-c_9", 5), "x" * 64: GatePosition("x" * 64)}),
    (values.speed, {"0.5": 0.5, "1000": 1000.0}),
    (values.file_name, {"a b/ü.yaml": "a b/ü.yaml"}),
    (values.integer, {"000": 0}),
]

INVALID: list[tuple[Callable[[str], object], str]] = [
    (
        values.seconds,
        " 20 ms .s -1s +1s 1e3s 1_0s 1,5s nans infs 1.2.3s 1h ٣s ²s 86401s 1440.1m 111111111111111111111us",
    ),
    (values.number, " 1e5 nan inf -1 +1 1_0 . 1.2.3 ٣ " + "1" * 65),
    (values.integer, " -1 1.5 x 1_0 ٣ " + "9" * 19),
    (values.spread, " 20 20ms~ 20ms~-1 20ms~10.1 86401s fast"),
    (values.gap_of_rate, "0 0.00001 1000001 50ms 50~11"),
    (values.length, " -1 1.5 9..8 5.. ..5 1000001 1..1000001"),
    (
        values.faults,
        " reset reset@ reset@-1 reset@1000001 reset@1.5 reset@x Reset@1 melt@1 reset@1:5s reset@1: reset@1+",
    ),
    (values.faults, "stall@1 stall@1: stall@1:5 stall@1:2000m drip@1 reset@1% reset@1%1.1 reset@1%-0.1 reset@1%10%"),
    (values.faults, "+".join(["reset@1"] * 17)),
    (values.statuses, " 399 600 x2 429x 429x-1 500% 500%2 503:3 503:retry= 503:retry=-1 503:retry=86401 429+"),
    (values.statuses, "+".join(["429"] * 17)),
    (values.limit, " 60 rpm rpm= rpm=0 rpm=-1 rps=1 rpm=1, rpm=1,rpm=1"),
    (values.load, " 2 2@ @64 0.9@64 1001@64 2@0 2@1000001"),
    (values.gate, " @5 a@ a@1000001 ä ... a/b " + "x" * 65),
    (values.speed, "0 1000.1 x"),
    (values.file_name, " a\0b " + "x" * 1001),
]
"""Texts separated by spaces; a leading space is an empty text."""


@pytest.mark.parametrize(("read", "texts"), VALID)
def test_texts_are_parsed(read: Callable[[str], object], texts: dict[str, object]) -> None:
    assert {text: read(text) for text in texts} == texts


@pytest.mark.parametrize(("read", "texts"), INVALID)
def test_invalid_text_is_refused(read: Callable[[str], object], texts: str) -> None:
    for text in texts.split(" "):
        with pytest.raises(ValueError, match=r".*"):
            pytest.fail(f"{text!r} is {read(text)!r}")


@pytest.mark.parametrize("read", [values.seconds, values.name_of])
@pytest.mark.parametrize("text", [" 1s", "1 s", "a b"])
def test_text_with_a_space_is_refused(read: Callable[[str], object], text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        read(text)


@pytest.mark.parametrize(("unit", "exponent"), [("ms", -3), ("us", -6)])
def test_duration_is_the_nearest_float_of_its_decimal_value(unit: str, exponent: int) -> None:
    others = [n for n in range(1, 1001) if values.seconds(f"{n}{unit}") != float(f"{n}e{exponent}")]

    assert not others, f"in {unit}: {others}"
