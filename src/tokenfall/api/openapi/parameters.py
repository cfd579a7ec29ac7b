"""The parameters of the routes, by name. A suffix distinguishes different parameters of one name: `conversation?`."""

from tokenfall.api.dashboard_history import DEFAULT_RANGE, RANGES
from tokenfall.api.openapi.schemas import Schema
from tokenfall.simulator.grammar import KEYS

_DECIMAL = r"(\d{1,9}(\.\d{0,9})?|\.\d{1,9})"
_CV = r"(~((\d(\.\d{0,9})?)|10))?"

PATTERNS = {
    "gap": rf"^({_DECIMAL}us|\d{{1,7}}(\.\d{{0,9}})?ms|\d{{1,4}}(\.\d{{0,9}})?s|\d{{1,3}}(\.\d{{0,9}})?m){_CV}$",
    "tps": rf"^[1-9]\d{{0,5}}(\.\d{{0,9}})?{_CV}$",
    "tokens": r"^\d{1,6}$|^[1-9]\d{0,4}\.\.[1-9]\d{5}$",
    "seed": r"^\d{1,18}$",
}
PATTERNS["ttft"] = PATTERNS["gap"]
"""Patterns of the grammar's values. Every value that matches is accepted; a few accepted values do not match."""

CONVERSATION_ID = "^[A-Za-z0-9._:@-]{1,64}$"
TURN_ID = "^turn_[0-9a-f]{24}$"


def _parameter(name: str, place: str, *, schema: Schema, description: str = "") -> Schema:
    required = {"required": True} if place == "path" else {}
    described = {"description": description} if description else {}
    return {"name": name, "in": place, **described, **required, "schema": {"type": "string", **schema}}


PARAMETERS: dict[str, Schema] = {
    **{
        key: _parameter(key, "query", schema={"pattern": PATTERNS[key]} if key in PATTERNS else {}, description=takes)
        for key, (_, _, takes) in KEYS.items()
    },
    "X-Sim": _parameter(
        "X-Sim", "header", schema={"example": "ttft=300ms,gap=20ms"}, description="The simulator's grammar."
    ),
    "Idempotency-Key": _parameter("Idempotency-Key", "header", schema={"minLength": 1, "maxLength": 255}),
    "announce": _parameter("announce", "query", schema={"type": "boolean", "default": False}),
    "details": _parameter("details", "query", schema={"type": "boolean", "default": False}),
    "Last-Event-ID": _parameter("Last-Event-ID", "header", schema={"pattern": r"^\d{1,12}$"}),
    "anthropic-version": _parameter("anthropic-version", "header", schema={"example": "2023-06-01"}),
    "conversation?": _parameter("conversation", "query", schema={"pattern": CONVERSATION_ID, "default": "default"}),
    "range": _parameter("range", "query", schema={"enum": [*RANGES], "default": DEFAULT_RANGE}),
    "limit": _parameter("limit", "query", schema={"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}),
    "after": _parameter(
        "after", "query", schema={"pattern": CONVERSATION_ID}, description="The last id of the page before."
    ),
    "variants": _parameter("variants", "query", schema={"type": "boolean", "default": False}),
    "search": _parameter(
        "search",
        "query",
        schema={"minLength": 1, "maxLength": 200, "pattern": r"^\s*\S+(\s+\S+){0,15}\s*$"},
        description="Only conversations in whose title or messages each of these words occurs.",
    ),
    "conversation": _parameter("conversation", "path", schema={"pattern": CONVERSATION_ID}),
    "{gate}": _parameter("gate", "path", schema={"pattern": "^[._-]{0,20}[A-Za-z0-9][A-Za-z0-9._-]{0,43}$"}),
    "file": _parameter("file", "path", schema={"pattern": r"^[a-z_]+\.(css|js|svg)$"}),
    "turn": _parameter("turn", "path", schema={"pattern": TURN_ID}),
    "model": _parameter("model", "path", schema={"minLength": 1}, description="It may contain slashes."),
}
