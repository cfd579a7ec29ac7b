import pytest

from tokenfall.upstream.key_redaction import without_key

LONG = "sk-proj-0123456789"


@pytest.mark.parametrize(
    ("text", "key", "redacted"),
    [
        (f"Incorrect API key: {LONG}, got {LONG}x", LONG, "Incorrect API key: [key], got [key]x"),
        ("API key provided: test. A test.", "test", "API key provided: [key]. A test."),
        ("Invalid API key 'test'", "test", "Invalid API key '[key]'"),
        ('{"api_key": "key"} is no key', "key", '{"api_key": "[key]"} is no key'),
        ("Bearer ollama was refused by ollama", "ollama", "Bearer [key] was refused by ollama"),
        ("token=password", "password", "token=[key]"),
    ],
)  # fmt: skip
def test_key_is_redacted_in_error_messages(text: str, key: str, redacted: str) -> None:
    assert without_key(text, key) == redacted


@pytest.mark.parametrize("key", ["key", "test", "model", "internal", "a", "", None])
def test_ordinary_words_are_not_redacted(key: str | None) -> None:
    text = "a test of the internal model: the key of a testing model is tested: a model, internal"

    assert without_key(text, key) == text


@pytest.mark.parametrize("text", ["key: testing", "the key: tester", "the keyword: x test"])
def test_part_of_a_word_is_not_redacted(text: str) -> None:
    assert without_key(text, "test") == text


def test_long_key_of_letters_is_redacted_everywhere() -> None:
    key = "abcdefghijklmnopqrstuvwxyz"

    assert without_key(f"x{key}y {key}", key) == "x[key]y [key]"
