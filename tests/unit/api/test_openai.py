import json
from typing import Any

import pytest

from tokenfall.api.catalogue import Catalogue
from tokenfall.api.documents import document
from tokenfall.api.openai import OpenAIRoutes
from tokenfall.api.throttle import Throttle
from tokenfall.errors import InvalidRequest, RateLimited
from tokenfall.http.request import Request
from tokenfall.http.response import LiveStream, Response
from tokenfall.limits.memory import MemoryLimiter
from tokenfall.metrics.registry import Metrics
from tokenfall.wire.api_error import ApiError

from tests.contracts.limits import BURST, RATE
from tests.doubles.callers import callers
from tests.doubles.clocks import FakeClock
from tests.doubles.requests import lines_of, request

CLAUDE = {"anthropic-version": "2023-06-01"}


class Harness:
    def __init__(self, *, upstream: bool = False, throttled: bool = False) -> None:
        self.fetched: list[tuple[str, bytes]] = []
        throttle = None
        if throttled:
            limiter = MemoryLimiter(RATE, BURST, now=FakeClock())
            throttle = Throttle(limiter, callers=callers(), metrics=Metrics())
        catalogue = Catalogue(self._models if upstream else None, FakeClock())
        self.routes = OpenAIRoutes(
            catalogue, relay=self._relay if upstream else None, throttle=throttle, callers=callers()
        )

    async def _models(self) -> bytes:
        return b'{"data":[{"id":"org/up-1"}]}'

    async def _relay(self, path: str, body: bytes, caller: str) -> Response:
        self.fetched.append((path, body))
        return document(b'{"as":"it is"}')


def embed(model: str = "sim", **fields: Any) -> Request:
    body = json.dumps({"model": model, "input": ["Why so slow?", "so"], **fields}).encode()
    return request("/v1/embeddings", method="POST", body=body)


def model(name: str, **headers: str) -> Request:
    incoming = request(f"/v1/models/{name}", headers=headers)
    incoming.route = "/v1/models/{model...}"
    return incoming


def decoded(response: Response | LiveStream) -> Any:
    assert isinstance(response, Response)
    return json.loads(response.body)


# Embeddings


async def test_embeddings_are_simulated_without_an_upstream() -> None:
    response = await Harness().routes.embeddings(embed(dimensions=8))

    assert isinstance(response, Response)
    assert [len(each["embedding"]) for each in decoded(response)["data"]] == [8, 8]
    assert decoded(response)["usage"] == {"prompt_tokens": 4, "total_tokens": 4}
    assert {"content-type: application/json", "cache-control: no-store"} <= {*lines_of(response.head)}


async def test_embeddings_of_an_upstream_model_are_relayed_unchanged() -> None:
    harness, incoming = Harness(upstream=True), embed("up-embed")
    body = incoming.body

    assert decoded(await harness.routes.embeddings(incoming)) == {"as": "it is"}
    assert harness.fetched == [("/embeddings", body)]


async def test_relayed_requests_are_rate_limited() -> None:
    harness = Harness(upstream=True, throttled=True)
    for _ in range(BURST):
        incoming = embed("up-embed")
        await harness.routes.embeddings(incoming)
        assert b"x-ratelimit-limit-requests: 3\r\n" in incoming.response_headers
    with pytest.raises(RateLimited):
        await harness.routes.embeddings(embed("up-embed"))
    await harness.routes.embeddings(embed())

    assert len(harness.fetched) == BURST


async def test_invalid_request_is_refused_before_the_upstream_request() -> None:
    harness = Harness(upstream=True)
    with pytest.raises(InvalidRequest):
        await harness.routes.embeddings(embed("up-embed", input=""))

    assert harness.fetched == []


# Models


async def test_models_are_listed_in_two_dialects() -> None:
    routes = Harness(upstream=True).routes
    openai, anthropic = decoded(await routes.models(request())), decoded(await routes.models(request(headers=CLAUDE)))

    assert [each["id"] for each in openai["data"]] == [each["id"] for each in anthropic["data"]] == ["sim", "org/up-1"]
    assert (openai["object"], anthropic["has_more"]) == ("list", False)


@pytest.mark.parametrize("name", ["sim", "sim:gap=20ms", "org/up-1"])
async def test_model_is_described_in_both_dialects(name: str) -> None:
    routes = Harness(upstream=True).routes
    openai, anthropic = await routes.model(model(name)), await routes.model(model(name, **CLAUDE))

    assert (decoded(openai)["id"], decoded(openai)["object"]) == (name, "model")
    assert (decoded(anthropic)["id"], decoded(anthropic)["type"]) == (name, "model")


async def test_unknown_model_is_not_found() -> None:
    routes = Harness(upstream=True).routes
    openai, anthropic = await routes.model(model("up-9")), await routes.model(model("up-9", **CLAUDE))

    assert (openai.status, decoded(openai)["error"]["code"]) == (404, "model_not_found")
    assert (anthropic.status, decoded(anthropic)["error"]["type"]) == (404, "not_found_error")


# Errors


@pytest.mark.parametrize("headers", [{}, CLAUDE])
def test_error_is_encoded_in_the_dialect_of_the_request(headers: dict[str, str]) -> None:
    incoming = request(headers=headers)
    api_error = ApiError(status=429, code="rate_limited", message="slowly", request_id="r1", retry_after_s=1.2)
    response = Harness().routes.refuse(incoming, api_error)

    assert response.status == 429
    assert decoded(response)["error"]["type"] == "rate_limit_error"
    assert ("request_id" in decoded(response)) is bool(headers)
    assert {"retry-after: 2", "cache-control: no-store"} <= {*lines_of(response.head)}
