import msgspec
import pytest

from tokenfall.recording.redaction import (
    MASK,
    MAX_LEARNED,
    MAX_VALUES,
    REQUEST_HEADERS,
    RESPONSE_HEADERS,
    Redactor,
    cleaned,
    keys_in,
)

KEY = "tok/en-of-a-provider"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"say tok/en-of-a-provider now", b"say ******************** now"),
        (b'{"a":"tok\\/en-of-a-provider"}', b'{"a":"*********************"}'),
        (b'{"api_key": "x1"}', b'{"api_key": "**"}'),
        (b'{"X-Api-Key":"a\\"b","n":1}', b'{"X-Api-Key":"****","n":1}'),
        (b'{"arguments":"{\\"password\\": \\"hush\\"}"}', b'{"arguments":"{\\"password\\": \\"****\\"}"}'),
        (b"it is sk-abcdefghijklmnop_1.", b"it is *********************."),
        (b"Bearer abcdefgh.ijk", b"Bearer ************"),
        (b"gsk_0123456789abcdefgh", b"**********************"),
        (b'{"token":"Hello","max_tokens":5}', b'{"token":"Hello","max_tokens":5}'),
        (b"a risk-assessment-of-everything", b"a risk-assessment-of-everything"),
    ],
)
def test_secrets_are_replaced_by_as_many_asterisks(content: bytes, expected: bytes) -> None:
    masked = Redactor([KEY]).masked(content)

    assert masked == expected
    assert len(masked) == len(content)


def test_short_key_is_not_masked_and_a_longer_one_is_masked_completely() -> None:
    redactor = Redactor(["test", "abcdefgh", "abcdefgh-ijkl"])

    assert redactor.masked(b"a test: abcdefgh-ijkl") == b"a test: *************"


def test_learned_keys_are_masked() -> None:
    redactor = Redactor()
    assert redactor.masked(KEY.encode()) == KEY.encode()

    redactor.learn([KEY])

    assert redactor.text(KEY) == "*" * len(KEY)


def test_secret_fields_of_a_request_are_removed_for_any_value() -> None:
    body = (
        b'{"api_keys":["a","b"],"o":[{"Authorization":"c"}],"password":{"type":"string"},"m":"tok\\/en-of-a-provider"}'
    )

    document = msgspec.json.decode(Redactor([KEY]).body(body) or b"")

    assert document == {
        "api_keys": MASK,
        "o": [{"Authorization": MASK}],
        "password": {"type": "string"},
        "m": "*" * 20,
    }


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000])
def test_body_that_is_not_json_is_none(content: bytes) -> None:
    assert cleaned(content) is None
    assert Redactor().body(content) is None


def test_only_allowed_headers_are_recorded() -> None:
    headers = {"Accept": "a", "X-Api-Key": "b", "Cookie": "c", "Anthropic-Version": KEY, "X-RateLimit-Limit": "1"}

    assert Redactor([KEY]).headers(headers, REQUEST_HEADERS) == {"accept": "a", "anthropic-version": "*" * 20}
    assert Redactor().headers({**headers, "Set-Cookie": "d"}, RESPONSE_HEADERS) == {"x-ratelimit-limit": "1"}


@pytest.mark.parametrize(
    ("headers", "keys"),
    [
        ({"Authorization": "Bearer k1"}, ["Bearer k1", "k1"]),
        ({"x-api-key": "k2", "API-Key": "k3"}, ["k2", "k3"]),
        ({"Cookie": "a=k4; b=k5=6"}, ["k4", "k5=6"]),
        ({"Set-Cookie": "s=k7; Path=/"}, ["k7"]),
        ({"Accept": "a"}, []),
    ],
)
def test_keys_are_found_in_headers(headers: dict[str, str], keys: list[str]) -> None:
    assert keys_in(headers) == keys


def test_query_keeps_parameter_names() -> None:
    assert Redactor().target("/m?key=a&api-key=b&n=1&access_token=c") == (
        f"/m?key={MASK}&api-key={MASK}&n=1&access_token={MASK}"
    )
    assert Redactor([KEY]).target(f"/{KEY}") == "/" + "*" * 20


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"api_key":"cut off', b'{"api_key":"*******'),
        (b'{"api_key":"cut off\\"', b'{"api_key":"*********'),
        (b'{"api_key"   :   "a"}', b'{"api_key"   :   "*"}'),
        (b'{"api_key":"","b":"c"}', b'{"api_key":"","b":"c"}'),
        (b'{"n":"","password":"c"}', b'{"n":"","password":"*"}'),
        (b'{"' + b"a" * 300 + b'_refresh_tokens":"c"}', b'{"' + b"a" * 300 + b'_refresh_tokens":"*"}'),
        (
            rb'{"a":"{\"b\":\"{\\\"api-key\\\":\\\"c\\\"}\"}"}',
            rb'{"a":"{\"b\":\"{\\\"api-key\\\":\\\"*\\\"}\"}"}',
        ),
    ],
)
def test_values_of_secret_fields_are_masked_even_if_truncated(content: bytes, expected: bytes) -> None:
    assert Redactor().masked(content) == expected


def test_newest_learned_keys_and_all_given_keys_are_masked() -> None:
    redactor = Redactor([KEY])
    for number in range(MAX_LEARNED + 1):
        redactor.learn([f"learned-{number:06}"])

    assert redactor.text(f"{KEY} learned-000000 learned-000001") == f"{'*' * 20} learned-000000 {'*' * 14}"


def test_longest_keys_of_a_message_are_learned() -> None:
    redactor = Redactor()
    redactor.learn([*(f"key-{number:04}" for number in range(MAX_VALUES)), "a-longer-one"])

    assert redactor.text("key-0000 a-longer-one") == "key-0000 ************"
    assert redactor.text("key-0001") == "********"


@pytest.mark.parametrize("secret", [KEY, "k" * 5_000, "sk-abcdefghijklmnop_1", "x-password"])
@pytest.mark.parametrize("before", [0, 1, 10, 5_100])
def test_beginning_is_truncated_after_masking(secret: str, before: int) -> None:
    redactor = Redactor()
    redactor.learn([KEY, "k" * 5_000])
    content = b" " * before + (
        b'{"x-password": "' + b"w" * 3_000 + b'"}' if secret == "x-password" else secret.encode()
    )
    content += b" " * 200_000

    assert redactor.beginning(content, 5_110) == redactor.masked(content)[:5_110]
