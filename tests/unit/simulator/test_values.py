from collections.abc import Callable

import pytest

from tokenfall.simulator import values
from tokenfall.simulator.values import FAULT_KINDS, Fault, GatePosition, Limit, Load, Status


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("reset@5", (Fault("reset", 5),)),
        ("reset@0", (Fault("reset", 0),)),
        ("stall@3:5s", (Fault("stall", 3, time_s=5.0),)),
        ("drip@3:250ms%0.5", (Fault("drip", 3, time_s=0.25, probability=0.5),)),
        ("error@7%0", (Fault("error", 7, probability=0.0),)),
        ("close@1000000%1", (Fault("close", 1_000_000),)),
        ("split@1+split@2", (Fault("split", 1), Fault("split", 2))),
        ("+".join(f"garbage@{at}" for at in range(16)), tuple(Fault("garbage", at) for at in range(16))),
    ],
)
def test_faults_are_parsed(text: str, found: tuple[Fault, ...]) -> None:
    assert values.faults(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "reset",
        "reset@",
        "reset@-1",
        "reset@1000001",
        "reset@1.5",
        "reset@x",
        "Reset@1",
        "melt@1",
        "reset@1:5s",  # only stall and drip have a duration
        "reset@1:",
        "stall@1",
        "stall@1:",
        "stall@1:5",
        "stall@1:2000m",
        "drip@1",
        "reset@1%",
        "reset@1%1.1",
        "reset@1%-0.1",
        "reset@1%10%",
        "reset@1+",
        "+".join(["reset@1"] * 17),
    ],
)
def test_invalid_fault_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        values.faults(text)


@pytest.mark.parametrize("kind", FAULT_KINDS)
def test_every_fault_kind_is_parsed(kind: str) -> None:
    (found,) = values.faults(f"{kind}@2" + (":1s" if kind in ("stall", "drip") else ""))

    assert (found.kind, found.at, found.probability) == (kind, 2, 1.0)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("500", (Status(500),)),
        ("400", (Status(400),)),
        ("599", (Status(599),)),
        ("429x2", (Status(429, times=2),)),
        ("429x0", (Status(429, times=0),)),
        ("500%0.1", (Status(500, probability=0.1),)),
        ("503:retry=3", (Status(503, retry_after_s=3.0),)),
        ("503x2%0.5:retry=0.5", (Status(503, times=2, probability=0.5, retry_after_s=0.5),)),
        ("429x2+500%0.1", (Status(429, times=2), Status(500, probability=0.1))),
    ],
)
def test_statuses_are_parsed(text: str, found: tuple[Status, ...]) -> None:
    assert values.statuses(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "399",
        "600",
        "x2",
        "429x",
        "429x-1",
        "500%",
        "500%2",
        "503:3",
        "503:retry=",
        "503:retry=-1",
        "503:retry=86401",
        "429+",
        "+".join(["429"] * 17),
    ],
)
def test_invalid_status_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        values.statuses(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("rpm=60", Limit(60)),
        ("tpm=6000", Limit(None, 6000)),
        ("rpm=60,tpm=6000", Limit(60, 6000)),
        ("tpm=6000, rpm=60", Limit(60, 6000)),
        ("rpm=1", Limit(1)),
    ],
)
def test_limit_is_parsed(text: str, found: Limit) -> None:
    assert values.limit(text) == found


@pytest.mark.parametrize("text", ["", "60", "rpm", "rpm=", "rpm=0", "rpm=-1", "rps=1", "rpm=1,", "rpm=1,rpm=1"])
def test_invalid_limit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        values.limit(text)


@pytest.mark.parametrize(
    ("read", "text", "found"),
    [
        (values.load, "2@64", Load(2.0, 64)),
        (values.load, "1@1", Load(1.0, 1)),
        (values.load, "1000@1000000", Load(1000.0, 1_000_000)),
        (values.gate, "ready", GatePosition("ready")),
        (values.gate, "a.b-c_9@5", GatePosition("a.b-c_9", 5)),
        (values.gate, "x" * 64, GatePosition("x" * 64)),
        (values.name_of, "A", "A"),
        (values.speed, "0.5", 0.5),
        (values.speed, "1000", 1000.0),
        (values.file_name, "a b/ü.yaml", "a b/ü.yaml"),
        (values.integer, "000", 0),
    ],
)
def test_value_is_parsed_by_its_parser(read: Callable[[str], object], text: str, found: object) -> None:
    assert read(text) == found


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (values.load, ""),
        (values.load, "2"),
        (values.load, "2@"),
        (values.load, "@64"),
        (values.load, "0.9@64"),
        (values.load, "1001@64"),
        (values.load, "2@0"),
        (values.load, "2@1000001"),
        (values.gate, ""),
        (values.gate, "@5"),
        (values.gate, "a@"),
        (values.gate, "a@1000001"),
        (values.gate, "a b"),
        (values.gate, "ä"),
        (values.gate, "..."),
        (values.gate, "x" * 65),
        (values.gate, "a/b"),
        (values.speed, "0"),
        (values.speed, "1000.1"),
        (values.speed, "x"),
        (values.file_name, ""),
        (values.file_name, "a\0b"),
        (values.file_name, "x" * 1001),
    ],
)
def test_invalid_choice_is_refused(read: Callable[[str], object], text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        read(text)


@pytest.mark.parametrize("text", ["1e5", "nan", "inf", "-1", "+1", "1_0", "", ".", "1.2.3", "٣", "1" * 65])
def test_invalid_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        values.number(text)
