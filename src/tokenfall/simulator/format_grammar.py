"""Formats a `Simulation` in the simulator's grammar; `grammar.parse` returns an equal one. Pure.

A file name that contains a comma cannot be written in the grammar; only a query string can contain one.
"""

from decimal import Decimal

from tokenfall.simulator.grammar import Simulation
from tokenfall.simulator.values import Fault, Spread, Status


def format_grammar(simulation: Simulation) -> str:
    """`gap=0.1s,ttft=0.3s~0.4`; "" if no value is set."""
    of = simulation
    parts = {
        "gap": of.gap and _spread(of.gap),
        "ttft": of.ttft and _spread(of.ttft),
        "prefill": None if of.prefill_s is None else _seconds(of.prefill_s),
        "load": of.load and f"{_number(of.load.factor)}@{of.load.capacity}",
        "tokens": of.tokens and f"{of.tokens.least}..{of.tokens.most}",
        "text": of.text,
        "seed": None if of.seed is None else str(of.seed),
        "fault": of.fault and "+".join(map(_fault, of.fault)),
        "status": of.status and "+".join(map(_status, of.status)),
        "limit": of.limit and _limit(of.limit.requests, of.limit.tokens),
        "profile": of.profile,
        "gate": of.gate and f"{of.gate.name}@{of.gate.at}",
        "script": of.script,
        "speed": None if of.speed is None else _number(of.speed),
    }
    return ",".join(f"{key}={text}" for key, text in parts.items() if text)


def _number(value: float) -> str:
    """A decimal without an exponent, as the grammar requires; it is parsed to the same float."""
    return format(Decimal(repr(value)), "f").removesuffix(".0")


def _seconds(value: float) -> str:
    return f"{_number(value)}s"


def _spread(spread: Spread) -> str:
    return _seconds(spread.mean_s) + (f"~{_number(spread.cv)}" if spread.cv else "")


def _chance(probability: float) -> str:
    return "" if probability == 1 else f"%{_number(probability)}"


def _fault(fault: Fault) -> str:
    timed = f":{_seconds(fault.time_s)}" if fault.kind in ("stall", "drip") else ""
    return f"{fault.kind}@{fault.at}{timed}{_chance(fault.probability)}"


def _status(status: Status) -> str:
    times = "" if status.times is None else f"x{status.times}"
    retry = "" if status.retry_after_s is None else f":retry={_number(status.retry_after_s)}"
    return f"{status.code}{times}{_chance(status.probability)}{retry}"


def _limit(requests: int | None, tokens: int | None) -> str:
    limits = {"rpm": requests, "tpm": tokens}
    return ",".join(f"{key}={value}" for key, value in limits.items() if value is not None)
