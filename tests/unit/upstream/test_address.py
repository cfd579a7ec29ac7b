import pytest

from tokenfall.upstream.address import UpstreamAddress, parse_address


@pytest.mark.parametrize(
    ("url", "address", "authority"),
    [
        ("http://a.example", UpstreamAddress("http", "a.example", 80), "a.example"),
        ("https://a.example/v1", UpstreamAddress("https", "a.example", 443, "/v1"), "a.example"),
        ("https://a.example/openai/v1/", UpstreamAddress("https", "a.example", 443, "/openai/v1"), "a.example"),
        ("HTTPS://A.Example:8443", UpstreamAddress("https", "a.example", 8443), "a.example:8443"),
        ("http://a.example:443", UpstreamAddress("http", "a.example", 443), "a.example:443"),
        ("http://a.example:80/", UpstreamAddress("http", "a.example", 80), "a.example"),
        ("http://a.example:", UpstreamAddress("http", "a.example", 80), "a.example"),
        ("http://127.0.0.1:8000/v1", UpstreamAddress("http", "127.0.0.1", 8000, "/v1"), "127.0.0.1:8000"),
        ("http://[::1]:8000/v1", UpstreamAddress("http", "::1", 8000, "/v1"), "[::1]:8000"),
        ("https://[2001:db8::1]", UpstreamAddress("https", "2001:db8::1", 443), "[2001:db8::1]"),
        ("https://bücher.example", UpstreamAddress("https", "xn--bcher-kva.example", 443), "xn--bcher-kva.example"),
        ("http://my_host", UpstreamAddress("http", "my_host", 80), "my_host"),
    ],
)
def test_address_is_parsed(url: str, address: UpstreamAddress, authority: str) -> None:
    parsed = parse_address(url)

    assert parsed == address
    assert parsed.authority == authority
    assert parsed.origin == f"{address.scheme}://{authority}"
    assert parsed.is_tls == (address.scheme == "https")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.example",
        "ftp://a.example",
        "http://",
        "http:///v1",
        "http://:80",
        "http://a.example:99999",
        "http://a.example:x",
        "http://[::1",
        "http://[nonsense]",
        "http://a..example",
        f"http://{'a' * 64}.example",
        "http://user@a.example",
        "http://user:s3cret@a.example",
        "http://user:s3cret\u2100@a.example",
        "http://user:s3cret@a..example",
        "http://a.example/?key=s3cret",
        "http://a.example/#s3cret",
    ],
)
def test_invalid_base_address_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ValueError, match="address") as caught:
        parse_address(url)

    assert "s3cret" not in str(caught.value)
