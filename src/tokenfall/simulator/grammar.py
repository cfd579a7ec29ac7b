"""The simulator's grammar: `ttft=300ms~0.4,gap=20ms,tokens=80..200,seed=7`. Pure.

The same keys are read from the SIM setting, a model name's suffix, the header X-Sim and a query string; `overlay`
merges two sources. Error messages name the key, the value received and the accepted values.
"""

from __future__ import annotations

from tokenfall.errors import InvalidRequest
from tokenfall.records import Record
from tokenfall.simulator import values
from tokenfall.simulator.values import MAX_TOKENS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from tokenfall.simulator.values import Fault, GatePosition, Length, Limit, Load, Spread, Status


class Simulation(Record):
    """A configuration of the simulator, with the fields that `KEYS` names; None for a value that is not set."""

    gap: Spread | None = None
    ttft: Spread | None = None
    tokens: Length | None = None
    seed: int | None = None
    prefill_s: float | None = None
    load: Load | None = None
    text: str | None = None
    fault: tuple[Fault, ...] | None = None
    status: tuple[Status, ...] | None = None
    limit: Limit | None = None
    profile: str | None = None
    gate: GatePosition | None = None
    script: str | None = None
    speed: float | None = None

    def overlay(self, override: Simulation) -> Simulation:
        """The values of `override` where set, else of this one. A profile in `override` also unsets the times here."""
        fields = {name: value for name, value in vars(override).items() if value is not None}
        if override.profile is not None:
            fields = {"gap": None, "ttft": None, "prefill_s": None} | fields
        return self.replaced(**fields) if fields else self

    def over_profile(self, times: Simulation, *, under: Simulation) -> Simulation:
        """This configuration over `times`, which are those of its profile, over `under`."""
        return under.overlay(times).overlay(self.replaced(profile=None)).replaced(profile=self.profile)


_NOTHING_SET = Simulation()

MAX_TEXT = 16_384
"""Maximum characters of a text in the grammar: the maximum bytes of a request head."""


def parse(text: str) -> Simulation:
    """Parse `key=value` pairs separated by commas; an empty text sets no value. Raises `InvalidRequest`."""
    if not text:  # most requests
        return _NOTHING_SET
    if len(text) > MAX_TEXT:
        raise InvalidRequest(f"simulator: more than {MAX_TEXT} characters")
    pairs: list[tuple[str, str]] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        key, equals, value = part.partition("=")
        key = key.strip()
        if not equals:
            raise InvalidRequest(f"simulator: {part[:40]!r} is not key=value; keys: {', '.join(KEYS)}")
        if key in LIMIT_KEYS and pairs and pairs[-1][0] == "limit":  # limit=rpm=60,tpm=6000
            pairs[-1] = ("limit", f"{pairs[-1][1]},{part}")
        else:
            pairs.append((key, value.strip()))
    return from_pairs(pairs)


def from_pairs(pairs: Iterable[tuple[str, str]]) -> Simulation:
    """Parse pairs, as of a query string. Raises `InvalidRequest` for unknown or repeated keys and bad values."""
    fields: dict[str, Any] = {}
    for key, value in pairs:
        if key not in KEYS:
            raise InvalidRequest(f"simulator: unknown key {key[:40]!r}; keys: {', '.join(KEYS)}", param=key[:40])
        field, read, takes = KEYS[key]
        if field in fields:
            why = " (gap and tps set the same value)" if field == "gap" else ""
            raise InvalidRequest(f"simulator: {key} is given twice{why}", param=key)
        try:
            fields[field] = read(value)
        except ValueError as error:
            wrong = str(error) if isinstance(error, values.InvalidItem) else value
            raise InvalidRequest(f"simulator: {key} got {wrong[:40]!r}, takes {takes}", param=key) from None
    return Simulation(**fields)


def _text(value: str) -> str:
    if value not in TEXTS:
        raise ValueError(value)
    return value


TEXTS = ("prose", "echo", "words")
LIMIT_KEYS = ("rpm", "tpm")
_UNITS = "in us, ms, s or m, up to 1440m (one day)"
_SPREAD = f"and after ~ a coefficient of variation up to {values.MAX_CV}"
_DURATION = f"a duration {_UNITS}, such as 20ms or 0.3s, {_SPREAD}"
_FAULT = (
    f"KIND@N, N a token counted from 0 up to {MAX_TOKENS}, such as reset@5; "
    f"stall@N:5s and drip@N:1s need a time {_UNITS}; %0.1 at the end is a probability from 0 to 1; "
    f"up to {values.MAX_ITEMS} faults are separated by +; kinds: {', '.join(values.FAULT_KINDS)}"
)
_STATUS = (
    "an HTTP error from 400 to 599 such as 500, 429x2 (for the first two requests), 500%0.1 (with a probability from 0 "
    "to 1) or 503:retry=3 (Retry-After in seconds, up to 86400); "
    f"up to {values.MAX_ITEMS} errors are separated by +"
)
_LOAD = (
    "FACTOR@STREAMS such as 2@64: gaps twice as long at 64 streams, later ones queue; "
    f"FACTOR from 1 to 1000, STREAMS from 1 to {MAX_TOKENS}"
)
_GATE = (
    "a gate's name of 1 to 64 letters, digits or any of . _ -, and after @ the token at which to wait, "
    f"up to {MAX_TOKENS}, such as ready@5"
)

KEYS: dict[str, tuple[str, Callable[[str], Any], str]] = {
    "gap": ("gap", values.spread, _DURATION),
    "tps": (
        "gap",
        values.gap_of_rate,
        f"tokens a second such as 50, above 0 (a gap of at most one day) up to 1000000, {_SPREAD}",
    ),
    "ttft": ("ttft", values.spread, _DURATION),
    "prefill": ("prefill_s", values.seconds, f"a duration {_UNITS}, such as 40ms, for each 1,000 tokens of the prompt"),
    "load": ("load", values.load, _LOAD),
    "tokens": ("tokens", values.length, f"a number from 0 to {MAX_TOKENS}, or two such as 80..200"),
    "text": ("text", _text, ", ".join(TEXTS)),
    "seed": ("seed", values.integer, "an integer from 0, of at most 18 digits"),
    "fault": ("fault", values.faults, _FAULT),
    "status": ("status", values.statuses, _STATUS),
    "limit": ("limit", values.limit, "requests and tokens a minute, each from 1: rpm=60, tpm=6000 or rpm=60,tpm=6000"),
    "profile": (
        "profile",
        values.file_name,
        "a named timing profile such as groq-70b, or a file made by tokenfall fit",
    ),
    "gate": ("gate", values.gate, _GATE),
    "script": ("script", values.file_name, "a script file, or a recording made by tokenfall record"),
    "speed": ("speed", values.speed, "how many times faster a recording is replayed, above 0 up to 1000"),
}
"""Each key: its field, its parser (ValueError for a bad value), and the accepted values for the error message."""
