import json
from typing import Any

import pytest

from tokenfall.api.addresses import TrustedProxies
from tokenfall.api.catalogue import Catalogue
from tokenfall.api.documents import document
from tokenfall.api.openai import OpenAIRoutes
from tokenfall.api.throttle import Throttle
from tokenfall.errors import InvalidRequest, RateLimited
from tokenfall.http.request import Request
from tokenfall.http.response import LiveStream, Response
from tokenfall.limits.memory import MemoryLimiter
from tokenfall.metrics import Metrics
from tokenfall.wire.api_error import ApiError

from tests.contracts.limits import BURST, RATE
from tests.doubles.clocks import FakeClock
from tests.doubles.requests import lines_of, request

CLAUDE = {"anthropic-version": "2023-06-01"}


class Harness:
    def __init__(self, *, upstream: bool = False, throttled: bool = False) -> None:
        self.fetched: list[tuple[str, bytes]] = []
        throttle = None
        if throttled:
            limiter = MemoryLimiter(RATE, BURST, now=FakeClock())
            throttle = Throttle(limiter, proxies=TrustedProxies(()), metrics=Metrics())
        catalogue = Catalogue(self._models if upstream else None, FakeClock())
        self.routes = OpenAIRoutes(catalogue, relay=self._relay if upstream else None, throttle=throttle)

    async def _models(self) -> bytes:
        return b'{"data":[{"id":"org/up-1"}]}'

    async def _relay(self, path: str, body: bytes) -> Response:
        self.fetched.append((path, body))
        return document(b'{"as":"it is"}')


def embed(model: str = "sim", **fields: Any) -> Request:
    body = json.dumps({"model": model, "input": ["Why so slow?", "so"], **fields}).encode()
    return request("/v1/embeddings", method="POST", body=body)


def model(name: str, **headers: str) -> Request:
    requested = request(f"/v1/models/{name}", headers=headers)
    requested.route = "/v1/models/{model...}"
    return requested


def document_of(answer: Response | LiveStream) -> Any:
    assert isinstance(answer, Response)
    return json.loads(answer.body)


# Embeddings


async def test_embeddings_are_simulated_without_an_upstream() -> None:
    answer = await Harness().routes.embeddings(embed(dimensions=8))

    assert isinstance(answer, Response)
    assert [len(each["embedding"]) for each in document_of(answer)["data"]] == [8, 8]
    assert document_of(answer)["usage"] == {"prompt_tokens": 4, "total_tokens": 4}
    assert {"content-type: application/json", "cache-control: no-store"} <= {*lines_of(answer.head)}


async def test_embeddings_of_an_upstream_model_are_relayed_unchanged() -> None:
    harness, requested = Harness(upstream=True), embed("up-embed")
    body = requested.body

    assert document_of(await harness.routes.embeddings(requested)) == {"as": "it is"}
    assert harness.fetched == [("/embeddings", body)]


async def test_embeddings_of_the_simulator_are_not_relayed() -> None:
    harness = Harness(upstream=True)
    await harness.routes.embeddings(embed("sim:embed"))

    assert harness.fetched == []


async def test_relayed_requests_are_rate_limited() -> None:
    harness = Harness(upstream=True, throttled=True)
    for _ in range(BURST):
        requested = embed("up-embed")
        await harness.routes.embeddings(requested)
        assert b"x-ratelimit-limit-requests: 3\r\n" in requested.response_headers
    with pytest.raises(RateLimited):
        await harness.routes.embeddings(embed("up-embed"))
    await harness.routes.embeddings(embed())

    assert len(harness.fetched) == BURST


async def test_invalid_request_is_refused_before_the_upstream_request() -> None:
    harness = Harness(upstream=True)
    with pytest.raises(InvalidRequest):
        await harness.routes.embeddings(embed("up-embed", input=""))

    assert harness.fetched == []


# Models, in the dialect of who asks


async def test_models_are_listed_in_two_dialects() -> None:
    routes = Harness(upstream=True).routes
    openai, anthropic = (
        document_of(await routes.models(request())),
        document_of(await routes.models(request(headers=CLAUDE))),
    )

    assert [each["id"] for each in openai["data"]] == [each["id"] for each in anthropic["data"]] == ["sim", "org/up-1"]
    assert (openai["object"], anthropic["has_more"]) == ("list", False)


@pytest.mark.parametrize("name", ["sim", "sim:gap=20ms", "org/up-1"])
async def test_model_is_described_in_both_dialects(name: str) -> None:
    routes = Harness(upstream=True).routes
    openai, anthropic = await routes.model(model(name)), await routes.model(model(name, **CLAUDE))

    assert (document_of(openai)["id"], document_of(openai)["object"]) == (name, "model")
    assert (document_of(anthropic)["id"], document_of(anthropic)["type"]) == (name, "model")


async def test_unknown_model_is_not_found() -> None:
    routes = Harness(upstream=True).routes
    openai, anthropic = await routes.model(model("up-9")), await routes.model(model("up-9", **CLAUDE))

    assert (openai.status, document_of(openai)["error"]["code"]) == (404, "model_not_found")
    assert (anthropic.status, document_of(anthropic)["error"]["type"]) == (404, "not_found_error")


# What goes wrong


@pytest.mark.parametrize("headers", [{}, CLAUDE])
def test_error_is_encoded_in_the_dialect_of_the_request(headers: dict[str, str]) -> None:
    requested = request(headers=headers)
    api_error = ApiError(status=429, code="rate_limited", message="slowly", request_id="r1", retry_after_s=1.2)
    answer = Harness().routes.refuse(requested, api_error)

    assert answer.status == 429
    assert document_of(answer)["error"]["type"] == "rate_limit_error"
    assert ("request_id" in document_of(answer)) is bool(headers)
    assert {"retry-after: 2", "cache-control: no-store"} <= {*lines_of(answer.head)}


async def test_response_has_both_request_id_headers() -> None:
    for answer in (Harness().routes.models, Harness().routes.model):
        requested = model("sim")
        requested.id, requested.response_headers = "r1", b"x-request-id: r1\r\n"
        await answer(requested)

        assert lines_of(requested.response_headers) == ["x-request-id: r1", "request-id: r1"]
