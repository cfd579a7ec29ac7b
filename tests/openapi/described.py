"""The description given to schemathesis: a server's own routes, with stricter schemas and without slow operations."""

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
"""Values of the simulator's keys with which a response comes at once. The other keys are not generated: `tps` may not
stand beside `gap`, which no schema can express, and the rest break responses on purpose."""

SIMS = ("", "tokens=2", "gap=1ms,seed=7")
"""The values of X-Sim in these tests."""

ENDLESS = ("min_tokens", "ignore_eos")
"""Fields that make a response millions of tokens long."""


async def _routes() -> list[Route]:
    reactor = Reactor()
    try:
        return Server(Settings(), None, reactor=reactor, json_logs=False).routes()
    finally:
        reactor.close()


def schema(*, keyed: bool) -> OpenApiSchema:
    """The source of schemathesis' requests and checks. With keys, it makes few requests: only the keys matter."""
    api_document = document(asyncio.run(_routes()), keyed=keyed, relays=False)
    _shorten(api_document)
    _tighten(api_document)
    return from_dict(
        api_document, config=SchemathesisConfig.from_dict({"phases": {"coverage": {"enabled": not keyed}}})
    )


def _shorten(api_document: dict[str, Any]) -> None:
    for item in api_document["paths"].values():
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
    for component in api_document["components"]["schemas"].values():
        for name in ENDLESS:
            component.get("properties", {}).pop(name, None)


def _tighten(api_document: dict[str, Any]) -> None:
    """The simulator's responses have only described members; an upstream's may have others."""
    waiting = [
        api_document["paths"][path][method]["responses"]
        for path in api_document["paths"]
        for method in api_document["paths"][path]
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
            waiting.append(_found(api_document, target))
        if "properties" in value and target == "" and "required" in value:
            value.setdefault("additionalProperties", False)


def _found(api_document: dict[str, Any], target: str) -> Any:
    found: Any = api_document
    for name in target.removeprefix("#/").split("/"):
        found = found[name]
    return found
