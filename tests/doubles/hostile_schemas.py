"""JSON schemas that are costly to satisfy, by what makes them so."""

from typing import Any

HOSTILE_SCHEMAS: dict[str, dict[str, Any]] = {
    "pattern": {"type": "string", "pattern": "^(a|a)*b$"},
    "properties": {
        "type": "object",
        "properties": {f"p{number}": {"type": "string"} for number in range(5_000)},
        "required": [f"p{number}" for number in range(5_000)],
    },
    "minItems": {"type": "array", "items": {"type": "integer"}, "minItems": 1_000_000},
}
