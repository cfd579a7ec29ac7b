import pickle
from contextlib import nullcontext
from hashlib import sha256
from hmac import compare_digest

import pytest

from tokenfall.api.guard import ANONYMOUS, Keys, LoopbackGuard, is_loopback_origin
from tokenfall.errors import OriginNotAllowed, Unauthorized

from tests.doubles.requests import request

HASHED = "sha256:" + sha256(b"hashed-key").hexdigest()
KEYS = Keys(("plain-key", HASHED, "schlüssel"))


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": "plain-key"},
        {"X-API-Key": "hashed-key"},
        {"X-API-Key": "schlüssel"},
        {"Authorization": "Bearer plain-key"},
        {"Authorization": "bearer  plain-key "},
        {"Authorization": "Basic abc", "X-API-Key": "plain-key"},
        {"Authorization": "Bearer", "X-API-Key": "plain-key"},
    ],
    ids=str,
)
def test_known_key_is_accepted(headers: dict[str, str]) -> None:
    assert KEYS.owner(request(headers=headers)) != ANONYMOUS


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-API-Key": ""},
        {"X-API-Key": "PLAIN-KEY"},
        {"X-API-Key": "plain-key2"},
        {"X-API-Key": "plain-ke"},
        {"X-API-Key": HASHED},
        {"X-API-Key": HASHED.removeprefix("sha256:")},
        {"X-API-Key": "plain-key, plain-key"},
        {"Authorization": "plain-key"},
        {"Authorization": "Basic plain-key"},
        {"Authorization": "Bearer wrong", "X-API-Key": "plain-key"},
        {"Cookie": "plain-key"},
    ],
    ids=str,
)
def test_missing_or_unknown_key_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(Unauthorized) as caught:
        KEYS.owner(request(headers=headers))

    assert "plain-key" not in caught.value.message


def test_missing_key_is_refused_with_a_hint() -> None:
    with pytest.raises(Unauthorized, match=r"^an API key is needed; send it as Authorization: Bearer or X-API-Key$"):
        KEYS.owner(request())
    with pytest.raises(Unauthorized, match=r"^this API key is not known"):
        KEYS.owner(request(headers={"X-API-Key": "wrong"}))


def test_owner_does_not_depend_on_the_header_or_on_hashing_of_the_key() -> None:
    shown = request(headers={"X-API-Key": "hashed-key"})

    assert KEYS.owner(shown) == Keys(("hashed-key",)).owner(shown)
    assert KEYS.owner(shown) == KEYS.owner(request(headers={"Authorization": "Bearer hashed-key"}))


def test_owners_differ_and_do_not_contain_the_key() -> None:
    owners = {KEYS.owner(request(headers={"X-API-Key": key})) for key in ("plain-key", "hashed-key", "schlüssel")}

    assert len(owners) == 3
    assert not any("key" in owner for owner in owners)


def test_all_callers_are_anonymous_without_keys() -> None:
    assert not Keys(())
    assert Keys(()).owner(request(headers={"X-API-Key": "any"})) == ANONYMOUS


def test_presented_key_is_compared_with_every_known_key(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []

    def counting(one: bytes, other: bytes) -> bool:
        compared.append(one)
        return compare_digest(one, other)

    monkeypatch.setattr("hmac.compare_digest", counting)
    KEYS.owner(request(headers={"X-API-Key": "plain-key"}))
    first = compared.copy()
    with pytest.raises(Unauthorized):
        KEYS.owner(request(headers={"X-API-Key": "wrong"}))

    assert len(first) == 3
    assert compared == first * 2


def test_keys_are_stored_as_digests() -> None:
    state = pickle.dumps(KEYS)

    assert sha256(b"plain-key").digest() in state
    assert b"plain-key" not in state


# Origins


@pytest.mark.parametrize(
    ("origin", "loopback"),
    [
        ("http://localhost", True),
        ("https://LOCALHOST:3000", True),
        ("http://127.0.0.1:8080", True),
        ("http://[::1]:8080", True),
        ("null", False),
        ("", False),
        ("localhost", False),
        ("file://localhost", False),
        ("http://localhost.evil.example", False),
        ("http://127.0.0.1.evil.example", False),
        ("http://evil.example:80", False),
        ("http://evil.example#localhost", False),
        ("http://[::2]", False),
        ("http://[::1", False),
        ("http://[::1].evil.example", False),
        ("http://[::1]evil.example:80", False),
        ("http://localhost:80.evil.example", False),
        ("http://localhost:", True),
        ("http://0.0.0.0", False),
    ],
)
def test_loopback_origin_is_recognized(origin: str, loopback: bool) -> None:
    assert is_loopback_origin(origin) is loopback


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1:8080", "[::1]:8080"])
@pytest.mark.parametrize(
    ("origin", "origins", "allowed"),
    [
        (None, (), True),
        ("http://localhost:3000", (), True),
        ("http://evil.example", (), False),
        ("null", (), False),
        ("", (), False),
        ("https://a.example", ("https://a.example",), True),
        ("https://a.example", ("*",), True),
        ("https://a.example", ("https://b.example",), False),
        ("https://a.example", ("http://a.example",), False),
    ],
)
def test_only_loopback_and_configured_origins_are_allowed(
    host: str, origin: str | None, origins: tuple[str, ...], allowed: bool
) -> None:
    incoming = request(headers={"host": host} if origin is None else {"host": host, "origin": origin})
    guard = LoopbackGuard(origins, check_host=True)
    with nullcontext() if allowed else pytest.raises(OriginNotAllowed, match="pages of this machine"):
        guard.check(incoming)


@pytest.mark.parametrize(
    "host",
    [
        None,
        "evil.example",
        "evil.example:8080",
        "",
        "127.0.0.1.evil.example",
        "[::1].evil.example",
        "localhost:evil.example",
    ],
)
def test_other_host_name_is_refused_unless_any_is_allowed(host: str | None) -> None:
    incoming = request(headers={} if host is None else {"host": host})
    LoopbackGuard((), check_host=False).check(incoming)
    with pytest.raises(OriginNotAllowed, match="Host header"):
        LoopbackGuard((), check_host=True).check(incoming)
