from base64 import b64encode

import pytest

from tokenfall.cli.main import USAGE_ERROR, main
from tokenfall.upstream.address import parse_address
from tokenfall.upstream.proxies import Proxy, parse_proxy, proxy_for

VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
PROXY = Proxy("proxy.example", 3128)
URL = "http://proxy.example:3128"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def proxy_with(monkeypatch: pytest.MonkeyPatch, url: str, **environment: str) -> Proxy | None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return proxy_for(parse_address(url))


@pytest.mark.parametrize(
    ("url", "environment", "proxied"),
    [
        ("http://a.example", {}, False),
        ("http://a.example", {"HTTP_PROXY": URL}, True),
        ("http://a.example", {"http_proxy": URL}, True),
        ("http://a.example", {"HTTPS_PROXY": URL}, False),
        ("https://a.example", {"HTTPS_PROXY": URL}, True),
        ("https://a.example", {"https_proxy": URL}, True),
        ("https://a.example", {"HTTP_PROXY": URL}, False),
        ("http://a.example", {"ALL_PROXY": URL}, True),
        ("https://a.example", {"all_proxy": URL}, True),
        ("https://a.example", {"ALL_PROXY": "http://other.example:1", "HTTPS_PROXY": URL}, True),
        ("http://a.example", {"HTTP_PROXY": ""}, False),
        ("http://a.example", {"HTTP_PROXY": URL, "http_proxy": ""}, False),
    ],
)
def test_variable_of_the_scheme_names_the_proxy(
    monkeypatch: pytest.MonkeyPatch, url: str, environment: dict[str, str], proxied: bool
) -> None:
    assert proxy_with(monkeypatch, url, **environment) == (PROXY if proxied else None)


@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
@pytest.mark.parametrize(
    ("url", "exceptions", "proxied"),
    [
        ("http://a.example", "a.example", False),
        ("http://A.example", "A.EXAMPLE", False),
        ("http://x.a.example", "a.example", False),
        ("http://x.a.example", ".a.example", False),
        ("http://b.example", "a.example, b.example", False),
        ("http://a.example", "*", False),
        ("http://a.example:8000", "a.example:8000", False),
        ("http://a.example:8000", "a.example:9000", True),
        ("http://127.0.0.1:8000", "localhost,127.0.0.1", False),
        ("http://[::1]:8000", "::1", False),
        ("http://[::1]:8000", "[::1]", False),
        ("http://[::1]:8000", "[::1]:8000", False),
        ("http://[::1]:8000", "[::1]:9000", True),
        ("http://[::1]:8000", "0:0:0:0:0:0:0:1", False),
        ("http://[fd00::7]:8000", "fd00::/8", False),
        ("http://10.1.2.3", "192.168.0.0/16 10.0.0.0/8", False),
        ("http://11.1.2.3", "10.0.0.0/8,::/0", True),
        ("http://x.a.example", "*.a.example", False),
        ("http://a.example.", "a.example", False),
        ("http://a.example", " * ", False),
        ("http://a.example", ".,*:1", True),
        ("http://ba.example", "a.example", True),
        ("http://a.example.net", "a.example", True),
        ("http://a.example", "", True),
    ],
)
def test_no_proxy_lists_hosts_reached_directly(
    monkeypatch: pytest.MonkeyPatch, name: str, url: str, exceptions: str, proxied: bool
) -> None:
    found = proxy_with(monkeypatch, url, HTTP_PROXY=URL, **{name: exceptions})

    assert found == (PROXY if proxied else None)


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("http://proxy.example:3128", PROXY),
        ("proxy.example:3128", PROXY),
        ("http://proxy.example:3128/", PROXY),
        ("http://proxy.example", Proxy("proxy.example", 80)),
        ("http://[::1]:3128", Proxy("::1", 3128)),
    ],
)
def test_proxy_address_is_parsed(url: str, proxy: Proxy) -> None:
    assert parse_proxy(url, name="http_proxy") == proxy


@pytest.mark.parametrize(
    ("user", "credentials"),
    [
        ("me:s3cret", b"me:s3cret"),
        ("me", b"me:"),
        ("m%40e:s3%3Acret%C3%A9", "m@e:s3:creté".encode()),
        (":s3cret", b":s3cret"),
    ],
)
def test_credentials_are_decoded_and_not_shown(user: str, credentials: bytes) -> None:
    proxy = parse_proxy(f"http://{user}@proxy.example:3128", name="https_proxy")

    assert proxy.authorization == f"Basic {b64encode(credentials).decode()}"
    assert repr(proxy) == str(proxy) == f"{proxy}" == "Proxy('proxy.example', 3128)"


USELESS = [
    "socks5://me:s3cret@proxy.example:1080",
    "https://me:s3cret@proxy.example",
    "http://me:s3cret@",
    "http://me:s3cret@proxy.example:port",
    "http://me:s3cret@proxy.example:99999",
    "http://me:s3/cret@proxy.example:3128",
    "http://me:s3cret@[::1",
    "http://me:s3cret[@proxy.example]:1",
    "http://me:s3cret\u2100@proxy.example",
    "://s3cret",
]


@pytest.mark.parametrize("url", USELESS)
def test_invalid_proxy_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ValueError, match=r"^HTTPS_PROXY: takes the address of an HTTP proxy") as caught:
        parse_proxy(url, name="https_proxy")

    assert "s3" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("arguments", [["serve"], ["record", "--upstream", "https://a.example/v1", "--out", "r.jsonl"]])
def test_server_and_recorder_do_not_start_with_an_invalid_proxy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    monkeypatch.setenv("UPSTREAM_URL", "https://a.example/v1")
    monkeypatch.setenv("ALL_PROXY", USELESS[0])

    assert main(arguments) == USAGE_ERROR
    errors = capsys.readouterr().err
    assert errors.startswith("tokenfall: ALL_PROXY: takes the address of an HTTP proxy")
    assert (errors.count("\n"), "s3" in errors) == (1, False)
