"""The OpenAPI document has every route, error code and status, and is generated from the routes and their Structs."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from tokenfall.api.openapi.document import OPERATIONS, document
from tokenfall.api.openapi.failures import codes_of
from tokenfall.api.openapi.schemas import of_body, of_responses
from tokenfall.api.problems import CODE_OF_STATUS, STATUS_OF_CODE
from tokenfall.api.routes import with_openapi
from tokenfall.api.routing import Route
from tokenfall.bootstrap import Server
from tokenfall.reactor.loop import Reactor
from tokenfall.settings import Settings
from tokenfall.wire.openai.request import ChatCompletionBody
from tokenfall.wire.plain import chat as plain

from tests.doubles.requests import request


async def registered_routes() -> list[Route]:
    reactor = Reactor()
    try:
        return Server(Settings(), None, reactor=reactor, json_logs=False).routes()
    finally:
        reactor.close()


@pytest.fixture
async def routes() -> list[Route]:
    return await registered_routes()


@pytest.fixture
def spec(routes: list[Route]) -> dict[str, Any]:
    return document(routes, keyed=True, relays=True)


def operations(spec: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in spec["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_every_route_has_one_operation_and_every_operation_one_route(routes: list[Route], spec: dict[str, Any]) -> None:
    served = {f"{route.method} {route.path.replace('...}', '}')}" for route in routes}

    assert {name for name, _ in operations(spec)} == served


def test_every_route_names_an_operation_and_every_operation_belongs_to_a_route(routes: list[Route]) -> None:
    assert {route.operation for route in routes} == set(OPERATIONS)


@pytest.mark.slow
@pytest.mark.parametrize("keyed", [True, False])
@pytest.mark.parametrize("relays", [True, False])
def test_document_is_valid(routes: list[Route], keyed: bool, relays: bool) -> None:
    from schemathesis.openapi import from_dict  # noqa: PLC0415 - takes longer to import than the other tests to run

    from_dict(document(routes, keyed=keyed, relays=relays)).validate()


def test_operation_ids_are_unique(spec: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, operation in operations(spec)]

    assert sorted(set(names)) == sorted(names)


def test_path_parameters_of_an_operation_match_its_path(spec: dict[str, Any]) -> None:
    for name, operation in operations(spec):
        parameters = [each["name"] for each in operation.get("parameters", ()) if each["in"] == "path"]
        assert parameters == re.findall(r"{(\w+)}", name), name


def test_every_error_code_is_listed_under_its_status(routes: list[Route], spec: dict[str, Any]) -> None:
    known = [*STATUS_OF_CODE.items(), *((code, status) for status, code in CODE_OF_STATUS.items())]
    unkeyed = document(routes, keyed=False, relays=True)["components"]["responses"]
    problems = {
        name: response["content"]["application/problem+json"]["schema"]["allOf"][1]["properties"]
        for name, response in (unkeyed | spec["components"]["responses"]).items()
        if name.startswith("Problem")
    }

    for code, status in known:
        assert code in codes_of(status)
        assert code in problems[f"Problem{status}"]["code"]["enum"], code
        assert problems[f"Problem{status}"]["status"] == {"const": status}


def test_references_resolve_and_schemas_have_public_names(spec: dict[str, Any]) -> None:
    text = msgspec.json.encode(spec).decode()
    kinds = spec["components"]

    for piece in text.split('"$ref":"#/components/')[1:]:
        kind, _, name = piece.partition('"')[0].partition("/")
        assert name in kinds[kind], name
    assert not [name for name in kinds["schemas"] if not name[0].isupper()]
    assert "\\\\Z" not in text


def test_schemas_of_bodies_and_responses_do_not_share_a_name() -> None:
    """A shared name would hide one of two schemas."""
    bodies = {each.body for each in OPERATIONS.values() if each.body is not None}
    responses = [kind for each in OPERATIONS.values() for kind in each.responses]
    names = [name for schemas in (*map(of_body, bodies), of_responses(responses)) for name in schemas]

    assert sorted(names) == sorted(set(names))


def test_body_schemas_have_the_fields_of_the_decoded_structs(spec: dict[str, Any]) -> None:
    schemas = spec["components"]["schemas"]

    assert set(schemas["ChatRequest"]["properties"]) == set(plain.ChatBody.__struct_fields__)
    assert set(schemas["ChatCompletionRequest"]["properties"]) == set(ChatCompletionBody.__struct_fields__)
    assert schemas["ConversationRequest"]["minProperties"] == 1
    assert schemas["ConversationRequest"]["properties"]["title"] == {"type": "string", "minLength": 1, "maxLength": 200}


def test_put_sim_requires_sim_and_patch_sim_requires_no_field(spec: dict[str, Any]) -> None:
    operation = dict(operations(spec))["PUT /sim"]
    body = operation["requestBody"]["content"]["application/json"]["schema"]
    schemas = spec["components"]["schemas"]

    assert body == {"$ref": "#/components/schemas/NewSimRequest"}
    assert schemas["NewSimRequest"]["properties"] == {"sim": {"type": "string"}}
    assert schemas["NewSimRequest"]["required"] == ["sim"]
    assert not schemas["SimRequest"]["required"]


def test_dashboard_events_require_a_key_and_the_dashboard_page_does_not(spec: dict[str, Any]) -> None:
    served = dict(operations(spec))
    events, page = served["GET /board/events"], served["GET /board"]

    assert [*events["responses"]["200"]["content"]] == ["text/event-stream"]
    assert "401" in events["responses"]
    assert [*page["responses"]["200"]["content"]] == ["text/html; charset=utf-8"]
    assert "security" not in page


def test_error_responses_have_the_schema_of_the_paths_dialect(spec: dict[str, Any]) -> None:
    responses = spec["components"]["responses"]
    error = responses["OpenAI429"]["content"]["application/json"]["schema"]["properties"]["error"]["properties"]

    assert error["code"] == {"enum": ["rate_limit_exceeded"]}
    assert responses["Ollama502"]["content"]["application/json"]["schema"]["required"] == ["error"]
    codes = responses["OpenAIResponse400"]["content"]["application/json"]["schema"]["properties"]["error"]["properties"]
    assert "previous_response_not_found" in codes["code"]["enum"]


def test_security_and_upstream_models_are_described_only_if_configured(routes: list[Route]) -> None:
    guarded = dict(operations(document(routes, keyed=True, relays=True)))
    free = document(routes, keyed=False, relays=False)

    assert guarded["POST /chat"]["security"] == [{"bearer": []}, {"header": []}]
    assert "security" not in guarded["GET /health"]
    assert "default" in guarded["POST /v1/messages"]["responses"]
    assert "securitySchemes" not in free["components"]
    assert "401" not in dict(operations(free))["POST /chat"]["responses"]
    assert "default" not in dict(operations(free))["POST /v1/messages"]["responses"]


def test_document_is_encoded_once_and_lists_its_own_route() -> None:
    routes = with_openapi([], keyed=False, relays=False)
    needed = routes[0].needs
    assert needed is not None
    assert not needed.is_loaded
    needed.load()

    assert routes[0].handler(request()) is routes[0].handler(request())
    assert [route.path for route in routes] == ["/openapi.json"]
