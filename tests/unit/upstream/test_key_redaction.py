import pytest

from tokenfall.upstream.key_redaction import without_key

LONG = "sk-proj-0123456789"


@pytest.mark.parametrize(
    ("text", "key", "told"),
    [
        (f"Incorrect API key: {LONG}, got {LONG}x", LONG, "Incorrect API key: [key], got [key]x"),
        ("API key provided: test. A test.", "test", "API key provided: [key]. A test."),
        ("Invalid API key 'test'", "test", "Invalid API key '[key]'"),
        ('{"api_key": "key"} is no key', "key", '{"api_key": "[key]"} is no key'),
        ("Bearer ollama was refused by ollama", "ollama", "Bearer [key] was refused by ollama"),
        ("token=password", "password", "token=[key]"),
    ],
)  # fmt: skip
def test_a_key_is_taken_out_where_it_is_one(text: str, key: str, told: str) -> None:
    assert without_key(text, key) == told


@pytest.mark.parametrize("key", ["key", "test", "model", "internal", "a", "", None])
def test_ordinary_words_stay(key: str | None) -> None:
    text = "a test of the internal model: the key of a testing model is tested: a model, internal"

    assert without_key(text, key) == text


@pytest.mark.parametrize("text", ["key: testing", "the key: tester", "the keyword: x test"])
def test_a_part_of_a_word_is_no_key(text: str) -> None:
    assert without_key(text, "test") == text


def test_a_key_of_letters_that_is_too_long_for_a_word_is_taken_out_everywhere() -> None:
    key = "abcdefghijklmnopqrstuvwxyz"

    assert without_key(f"x{key}y {key}", key) == "x[key]y [key]"
