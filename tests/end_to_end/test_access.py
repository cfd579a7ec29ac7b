"""API keys, rate limits, client addresses, CORS and request ids."""

import hashlib
import json
from collections.abc import Iterator

import pytest

from tests.end_to_end.chatting import chat, history
from tests.end_to_end.client import Client, fetch, request
from tests.end_to_end.conftest import Serve, check_clean_exit
from tests.end_to_end.in_process import running
from tests.end_to_end.process import ServerProcess

ALICE, BOB = "alice-key-1", "bob-key-2"


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a server that requires a key; the second key is configured by its digest."""
    digest = hashlib.sha256(BOB.encode()).hexdigest()
    server = ServerProcess(tmp_path_factory.mktemp("keyed"), environment={"API_KEY": f"{ALICE},sha256:{digest}"})
    yield server.port
    check_clean_exit(server)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X_API_Key": "wrong"},
        {"Authorization": "Bearer wrong"},
        {"Authorization": ALICE},
        {"Authorization": f"Basic {ALICE}"},
        {"Authorization": "Bearer"},
        {"X_API_Key": ALICE[:-1]},
        {"X_API_Key": hashlib.sha256(BOB.encode()).hexdigest()},
        {"X_API_Key": f"sha256:{hashlib.sha256(BOB.encode()).hexdigest()}"},
        {"Authorization": "Bearer wrong", "X_API_Key": "wrong"},
    ],
)
async def test_missing_or_wrong_key_is_401(keyed: int, headers: dict[str, str]) -> None:
    async with await Client.connect(keyed) as client:
        for data in (
            chat("x", headers=headers),
            request("/history", **headers),
            request("/history", method="DELETE", **headers),
            request("/conversations", **headers),
            request("/stream-sse", **headers),
            request("/stream-ndjson", **headers),
            request("/stream-loop", **headers),
            request("/api/data", **headers),
            request("/api/data", method="HEAD", **headers),
        ):
            response = await client.fetch(data)
            assert response.status == 401
            assert response.headers["www-authenticate"].startswith("Bearer")
            assert response.headers["content-type"] == "application/problem+json"
            assert ALICE.encode() not in response.head.raw + response.body


@pytest.mark.parametrize("key", [ALICE, BOB])
@pytest.mark.parametrize("form", ["Bearer", "bearer", "X-API-Key"])
async def test_right_key_in_either_header_is_accepted(keyed: int, key: str, form: str) -> None:
    headers = {"X_API_Key": key} if form == "X-API-Key" else {"Authorization": f"{form} {key}"}
    async with await Client.connect(keyed) as client:
        for data in (
            chat("x", headers=headers),
            request("/history", **headers),
            request("/stream-sse?gap=0ms", **headers),
            request("/api/data", **headers),
        ):
            assert (await client.fetch(data)).status == 200


async def test_probes_and_the_page_need_no_key(keyed: int) -> None:
    async with await Client.connect(keyed) as client:
        for path in ("/health", "/livez", "/readyz", "/metrics", "/version", "/web", "/web/app.js"):
            assert (await client.fetch(request(path))).status == 200
        assert (await client.fetch(request("/"))).status == 307


async def test_conversations_belong_to_their_key(keyed: int) -> None:
    await fetch(keyed, chat("secret plan", conversation="plans", headers={"X_API_Key": ALICE}))
    assert len(await history(keyed, "?conversation=plans", X_API_Key=ALICE)) == 2
    assert len(await history(keyed, "?conversation=plans", Authorization=f"Bearer {ALICE}")) == 2
    for method in ("GET", "DELETE"):
        other = await fetch(keyed, request("/history?conversation=plans", method=method, X_API_Key=BOB))
        missing = await fetch(keyed, request("/history?conversation=missing", method=method, X_API_Key=BOB))
        assert other.status == missing.status == 404
        assert json.loads(other.body)["detail"] == json.loads(missing.body)["detail"], (
            "the error reveals that the conversation exists"
        )
    listed = json.loads((await fetch(keyed, request("/conversations", X_API_Key=BOB))).body)
    assert "plans" not in {each["id"] for each in listed}
    await fetch(keyed, chat("my own", conversation="plans", headers={"X_API_Key": BOB}))
    assert (await history(keyed, "?conversation=plans", X_API_Key=ALICE))[0]["content"] == "secret plan"


async def test_request_over_the_burst_is_429(serve: Serve) -> None:
    server = serve(RATE_LIMIT_RPS="0.1")
    async with await Client.connect(server.port) as client:
        for number in range(20):
            response = await client.fetch(request("/history") if number % 2 else chat("x", stream=False))
            assert response.status == 200
            assert f"r={19 - number};" in response.headers["ratelimit"]
            assert response.headers["ratelimit-policy"] == '"address";q=20;w=200'
        refused = await client.fetch(chat("x"))
        assert refused.status == 429
        assert 1 <= int(refused.headers["retry-after"]) <= 10
        assert "r=0;" in refused.headers["ratelimit"]
        assert refused.headers["content-type"] == "application/problem+json"
        assert json.loads(refused.body)["code"] == "rate_limited"
    assert (await fetch(server.port, request("/history", X_Forwarded_For="198.51.100.7"))).status == 429
    for path in ("/stream-sse?gap=0ms&tokens=1", "/api/data", "/health", "/metrics", "/web"):
        assert (await fetch(server.port, request(path))).status == 200


async def test_trusted_proxy_may_forward_client_addresses() -> None:
    limits = {"RATE_LIMIT_RPS": "0.1", "RATE_LIMIT_BURST": "1"}
    async with running(TRUSTED_PROXIES="127.0.0.0/8", **limits) as here:

        async def status(forwarded_for: str) -> int:
            return (await fetch(here.port, request("/history", X_Forwarded_For=forwarded_for))).status

        assert [await status(address) for address in ("192.0.2.1", "192.0.2.1", "192.0.2.2")] == [200, 429, 200]
        assert await status("203.0.113.9, 192.0.2.1") == 429, "only the last address of X-Forwarded-For is trusted"
        assert await status("2001:db8::1") == 200
        assert await status("2001:db8::2") == 429, "addresses of one /64 share a limit"
        assert await status("::ffff:192.0.2.2") == 429, "an IPv4-mapped address is the IPv4 address"


PAGE = "https://page.example"


async def test_responses_allow_any_origin_by_default(port: int) -> None:
    for path in ("/stream-sse?gap=0ms&tokens=1", "/api/data", "/nowhere", "/chat"):
        response = await fetch(port, request(path, Origin=PAGE))
        assert response.headers["access-control-allow-origin"] == "*", path
        assert "X-Request-Id" in response.headers["access-control-expose-headers"]
        assert "access-control-allow-credentials" not in response.headers
    assert "access-control-allow-origin" not in (await fetch(port, request("/api/data"))).headers


PRIVATE = [
    request("/history"),
    request("/history", method="DELETE"),
    request("/conversations"),
    request("/conversations/a", method="DELETE"),
    request("/sim"),
    request("/sim", method="DELETE"),
    request("/sim/requests"),
    request("/sim/gates"),
    request("/chat/turns/turn_0"),
    request("/chat/turns/turn_0/stop", method="POST"),
]


@pytest.mark.parametrize("data", PRIVATE, ids=lambda data: data.split(b" HTTP")[0].decode())
async def test_private_routes_refuse_other_origins_without_a_key(port: int, data: bytes) -> None:
    def with_origin(origin: bytes) -> bytes:
        return data.replace(b"\r\n", b"\r\nOrigin: %b\r\n" % origin, 1)

    for origin in (b"https://page.example", b"null", b"http://test.example"):
        response = await fetch(port, with_origin(origin))
        assert (response.status, json.loads(response.body)["code"]) == (403, "origin_not_allowed")
    for origin in (b"http://test", b"http://localhost:5173"):  # the server's own origin and one on localhost
        assert (await fetch(port, with_origin(origin))).status != 403
    assert (await fetch(port, data)).status != 403


async def test_private_routes_allow_configured_origins_and_requests_with_a_key() -> None:
    async with running(CORS_ORIGINS=PAGE) as here:
        assert (await fetch(here.port, request("/history", Origin=PAGE))).status == 200
    async with running(API_KEY="k") as here:
        assert (await fetch(here.port, request("/history", Origin=PAGE, X_API_Key="k"))).status == 200
        assert (await fetch(here.port, request("/history", Origin=PAGE))).status == 401


async def test_preflight_allows_methods_and_headers(port: int) -> None:
    data = request(
        "/chat",
        method="OPTIONS",
        Origin=PAGE,
        Access_Control_Request_Method="POST",
        Access_Control_Request_Headers="authorization,content-type,x-stainless-lang",
    )
    response = await fetch(port, data)
    assert response.status == 204
    assert response.headers["access-control-allow-origin"] == "*"
    assert "POST" in response.headers["access-control-allow-methods"]
    allowed = {name.strip() for name in response.headers["access-control-allow-headers"].lower().split(",")}
    assert {"authorization", "x-api-key", "content-type", "x-sim", "x-stainless-lang"} <= allowed


async def test_responses_allow_only_configured_origins() -> None:
    async with running(CORS_ORIGINS=f"{PAGE},http://two.example:8000") as here:
        for origin, allowed in ((PAGE, True), ("http://two.example:8000", True), ("https://evil.example", False)):
            for data in (request("/api/data", Origin=origin), b"bad\r\n\r\n"):
                response = await fetch(here.port, data)
                if data.startswith(b"GET"):
                    assert response.headers.get("access-control-allow-origin") == (origin if allowed else None)
                    assert "Origin" in response.headers["vary"]


async def test_upstream_without_a_key_serves_only_local_origins() -> None:
    async with running(UPSTREAM_URL="http://127.0.0.1:9/v1") as here:
        own = {"Host": f"127.0.0.1:{here.port}"}

        async def status(path: str, *, host: str = own["Host"], **headers: str) -> int:
            return (
                await fetch(here.port, request(path, **headers).replace(b"Host: test", b"Host: " + host.encode()))
            ).status

        assert await status("/history") == 200
        assert await status("/history", Origin="http://localhost:3000") == 200
        assert await status("/history", Origin="https://evil.example") == 403
        assert await status("/history", Origin="null") == 403
        assert await status("/history", host="rebound.example") == 403
        assert await status("/history", host="127.0.0.1.evil.example") == 403
        response = await fetch(here.port, request("/history", Origin="https://evil.example"))
        assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (request("/nowhere"), 404, "not_found"),
        (request("/chat"), 405, "method_not_allowed"),
        (request("/chat", method="POST", body=b"{}"), 400, "invalid_request"),
        (request("/stream-sse?gap=x"), 400, "invalid_request"),
        (request("/history?conversation=missing"), 404, "not_found"),
        (request("/history?other=x"), 400, "invalid_request"),
        (request("/chat", method="POST", Content_Length="99999999"), 413, "body_too_large"),
    ],
)
async def test_error_is_a_problem_document_with_the_request_id(port: int, data: bytes, status: int, code: str) -> None:
    response = await fetch(port, data)
    assert response.status == status
    assert response.headers["content-type"] == "application/problem+json"
    document = json.loads(response.body)
    assert (document["status"], document["code"]) == (status, code)
    assert {"type", "title", "detail"} <= document.keys()
    assert document["request_id"] == response.headers["x-request-id"]


async def test_valid_request_id_is_echoed_and_invalid_one_replaced(port: int) -> None:
    async with await Client.connect(port) as client:
        for path in ("/health", "/stream-sse?gap=0ms&tokens=1", "/history", "/nowhere"):
            assert (await client.fetch(request(path, X_Request_Id="a.B-3_x"))).headers["x-request-id"] == "a.B-3_x"
        ids = set()
        for odd in ("", "a b", "é", "a" * 65, "<x>", "a,b"):
            ids.add((await client.fetch(request("/health", X_Request_Id=odd))).headers["x-request-id"])
        assert len(ids) == 6
        assert not ids & {"a b", "é", "a" * 65, "<x>", "a,b", ""}
