import pytest

from tokenfall.api.cors import CORS

from tests.doubles.requests import lines_of, request

EXPOSED = (
    "access-control-expose-headers: "
    "X-Conversation-Id, X-Turn-Id, X-Model, X-Request-Id, Link, Retry-After, RateLimit, RateLimit-Policy"
)


def lines(cors: CORS, origin: str) -> list[str]:
    return lines_of(cors.lines(request(headers={"origin": origin})))


@pytest.mark.parametrize("cors", [CORS((), loopback_only=False), CORS(("*",), loopback_only=True)], ids=["unset", "*"])
def test_any_origin_is_allowed_by_default(cors: CORS) -> None:
    assert lines(cors, "https://a.example") == ["access-control-allow-origin: *", EXPOSED]
    assert lines(cors, "null") == ["access-control-allow-origin: *", EXPOSED]


def test_only_configured_origins_are_allowed() -> None:
    cors = CORS(("https://a.example", "https://b.example"), loopback_only=False)

    assert lines(cors, "https://b.example") == [
        "vary: Origin",
        "access-control-allow-origin: https://b.example",
        EXPOSED,
    ]
    for other in ("https://c.example", "http://b.example", "https://b.example:444", "null", ""):
        assert lines(cors, other) == ["vary: Origin"]


def test_only_loopback_origins_are_allowed_for_an_unprotected_upstream() -> None:
    cors = CORS((), loopback_only=True)

    assert lines(cors, "http://localhost:3000")[1] == "access-control-allow-origin: http://localhost:3000"
    assert lines(cors, "https://evil.example") == ["vary: Origin"]


def test_configured_origins_replace_loopback_origins() -> None:
    assert lines(CORS(("https://a.example",), loopback_only=True), "http://localhost") == ["vary: Origin"]


OURS = "Authorization, X-API-Key, Content-Type, X-Sim, Idempotency-Key, Last-Event-ID"


@pytest.mark.parametrize(
    ("requested", "allowed"), [("", OURS), ("x-stainless-lang,a-b", f"{OURS}, x-stainless-lang,a-b")]
)
def test_preflight_allows_the_requested_headers(requested: str, allowed: str) -> None:
    preflight = request(headers={"access-control-request-headers": requested} if requested else {})

    assert lines_of(CORS((), loopback_only=False).preflight(preflight, "OPTIONS, POST")) == [
        "access-control-allow-methods: OPTIONS, POST",
        f"access-control-allow-headers: {allowed}",
        "access-control-max-age: 86400",
        "vary: Access-Control-Request-Headers",
    ]


def test_preflight_of_another_origin_allows_nothing() -> None:
    headers = {"access-control-request-headers": "x-a", "access-control-request-private-network": "true"}
    cors = CORS(("https://a.example",), loopback_only=False)

    for origin in ("https://b.example", "null"):
        assert cors.preflight(request(headers={**headers, "origin": origin}), "POST") == b""
    assert cors.preflight(request(headers={**headers, "origin": "https://a.example"}), "POST") != b""


@pytest.mark.parametrize(
    ("requested", "allowed"), [({"access-control-request-private-network": "true"}, True), ({}, False)]
)
def test_private_network_header_is_sent_to_allowed_origins_only_on_request(
    requested: dict[str, str], allowed: bool
) -> None:
    for cors in (CORS((), loopback_only=False), CORS(("https://a.example",), loopback_only=False)):
        sent = lines_of(cors.preflight(request(headers={"origin": "https://a.example", **requested}), "POST"))
        assert ("access-control-allow-private-network: true" in sent) is allowed


def test_credentials_are_never_allowed() -> None:
    for cors in (CORS((), loopback_only=False), CORS(("https://a.example",), loopback_only=False)):
        sent = [
            *lines(cors, "https://a.example"),
            *lines_of(cors.preflight(request(headers={"origin": "https://a.example"}), "GET")),
        ]
        assert "credentials" not in " ".join(sent)
