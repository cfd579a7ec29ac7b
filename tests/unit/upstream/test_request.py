from tokenfall.upstream.address import parse_address
from tokenfall.upstream.proxies import Proxy
from tokenfall.upstream.request import RequestEncoder, UpstreamRequest

PROXY = Proxy("proxy.example", 3128, "Basic bWU6czNjcmV0")


def encoded(url: str, request: UpstreamRequest, *, proxy: Proxy | None = None) -> bytes:
    return RequestEncoder(parse_address(url), proxy=proxy).encode(request)


def test_request_is_encoded_as_head_and_body() -> None:
    request = UpstreamRequest("POST", "/chat/completions?a=b", headers=b"Accept: */*\r\nX: 1\r\n", body=b"{}")

    assert encoded("https://a.example/v1", request) == (
        b"POST /v1/chat/completions?a=b HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\nX: 1\r\n"
        b"Content-Length: 2\r\n\r\n{}"
    )


def test_request_without_a_body_has_no_content_length() -> None:
    assert (
        encoded("http://[::1]:8000", UpstreamRequest("GET", "/models"))
        == b"GET /models HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n"
    )


def test_empty_body_has_a_content_length() -> None:
    assert b"\r\nContent-Length: 0\r\n" in encoded("http://a.example", UpstreamRequest("POST", "/", body=b""))


def test_plain_request_through_a_proxy_has_the_absolute_form() -> None:
    data = encoded("http://a.example:8000/v1", UpstreamRequest("GET", "/models"), proxy=PROXY)

    assert data == (
        b"GET http://a.example:8000/v1/models HTTP/1.1\r\n"
        b"Host: a.example:8000\r\nProxy-Authorization: Basic bWU6czNjcmV0\r\n\r\n"
    )


def test_request_through_a_tunnel_has_no_proxy_headers() -> None:
    request = UpstreamRequest("GET", "/models")

    assert encoded("https://a.example/v1", request, proxy=PROXY) == encoded("https://a.example/v1", request)


def test_proxy_without_credentials_gets_no_authorization() -> None:
    assert b"Proxy-Authorization" not in encoded("http://a.example", UpstreamRequest("GET", "/"), proxy=Proxy("p", 1))


def test_released_request_drops_its_body() -> None:
    request = UpstreamRequest("POST", "/", headers=b"X: 1\r\n", body=b"{}")
    request.release()

    assert (request.body, request.headers) == (None, b"")
