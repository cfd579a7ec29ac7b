"""The OpenAPI description for schemathesis: the server's routes, with stricter schemas and short responses."""

import asyncio
from copy import deepcopy
from typing import Any

from schemathesis.config import SchemathesisConfig
from schemathesis.openapi import from_dict
from schemathesis.specs.openapi.schemas import OpenApiSchema

from tokenfall.api.openapi.document import document
from tokenfall.api.routing import Route
from tokenfall.bootstrap import Server
from tokenfall.reactor.loop import Reactor
from tokenfall.settings import Settings

SHORT = {"gap": r"^\d{1,3}us$", "ttft": r"^\d{1,3}us$", "tokens": r"^[1-9]$", "seed": r"^\d{1,18}$"}
"""Patterns of simulator keys that keep responses short. Other keys are not generated: `tps` excludes `gap`, which no
schema can express, and the rest inject faults."""

SIMS = ("", "tokens=2", "gap=1ms,seed=7")
"""Values of X-Sim used in these tests."""

ENDLESS = ("min_tokens", "ignore_eos")
"""Fields that make a response millions of tokens long."""


async def _routes() -> list[Route]:
    reactor = Reactor()
    try:
        return Server(Settings(), None, reactor=reactor, json_logs=False).routes()
    finally:
        reactor.close()


def schema(*, keyed: bool) -> OpenApiSchema:
    """Return the schema for schemathesis. With keys, only a few requests are generated, since only the keys matter."""
    description = document(asyncio.run(_routes()), keyed=keyed, relays=False)
    _shorten(description)
    _tighten(description)
    return from_dict(description, config=SchemathesisConfig.from_dict({"phases": {"coverage": {"enabled": not keyed}}}))


def _shorten(description: dict[str, Any]) -> None:
    for item in description["paths"].values():
        for operation in item.values():
            parameters = [deepcopy(each) for each in operation.get("parameters", ())]
            for parameter in parameters:
                if parameter["name"] in SHORT and parameter["in"] == "query":
                    parameter["schema"]["pattern"] = SHORT[parameter["name"]]
                if parameter["name"] == "X-Sim":
                    parameter["schema"] = {"enum": [*SIMS]}
            operation["parameters"] = [
                each for each in parameters if each["in"] != "query" or each["name"] in {*SHORT, "conversation"}
            ]
    for component in description["components"]["schemas"].values():
        for name in ENDLESS:
            component.get("properties", {}).pop(name, None)


def _tighten(description: dict[str, Any]) -> None:
    """Forbid undescribed members: only upstream responses may have them, not the simulator's."""
    waiting = [
        description["paths"][path][method]["responses"]
        for path in description["paths"]
        for method in description["paths"][path]
    ]
    seen: set[str] = set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        if not isinstance(value, dict):
            continue
        waiting += value.values()
        target = value.get("$ref", "")
        if target and target not in seen:
            seen.add(target)
            waiting.append(_found(description, target))
        if "properties" in value and target == "" and "required" in value:
            value.setdefault("additionalProperties", False)


def _found(description: dict[str, Any], target: str) -> Any:
    found: Any = description
    for name in target.removeprefix("#/").split("/"):
        found = found[name]
    return found
