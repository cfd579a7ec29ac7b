"""A request body with a content coding is refused on every path; RFC 9110, sections 8.4 and 12.5.3."""

import gzip
import json
import zlib
from collections.abc import Callable

import pytest

from tests.doubles.hostile_requests import user
from tests.end_to_end.client import fetch, request
from tests.end_to_end.in_process import running

BODIES = {
    "/chat": {"messages": user("hi")},
    "/v1/chat/completions": {"model": "sim", "messages": user("hi")},
    "/v1/completions": {"model": "sim", "prompt": "hi"},
    "/v1/responses": {"model": "sim", "input": "hi"},
    "/v1/embeddings": {"model": "sim", "input": "hi"},
    "/v1/messages": {"model": "sim", "messages": user("hi"), "max_tokens": 9},
    "/api/chat": {"model": "sim", "messages": user("hi")},
    "/api/embed": {"model": "sim", "input": "hi"},
    "/conversations": {"messages": []},
}
CODED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": bytes,
    "GZIP, identity": gzip.compress,
}


@pytest.mark.parametrize("path", BODIES)
async def test_coded_body_is_refused_with_what_is_accepted(path: str) -> None:
    async with running(RATE_LIMIT_RPS="0") as here:
        body = json.dumps(BODIES[path]).encode()
        for coding, coded in CODED.items():
            refused = await fetch(here.port, request(path, method="POST", body=coded(body), Content_Encoding=coding))
            assert (refused.status, refused.headers["accept-encoding"]) == (415, "identity")
            assert "coding" in json.dumps(json.loads(refused.body))


@pytest.mark.parametrize("coding", ["identity", "Identity", ""])
async def test_identity_is_accepted(coding: str) -> None:
    async with running(SIM="gap=0us") as here:
        body = json.dumps(BODIES["/v1/chat/completions"]).encode()
        data = request("/v1/chat/completions", method="POST", body=body, Content_Encoding=coding)
        assert (await fetch(here.port, data)).status == 200
