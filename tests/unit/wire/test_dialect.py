import msgspec
import pytest
from msgspec import Struct

from tokenfall.messages import ToolCall
from tokenfall.wire.dialect import TOKEN_BYTES, ResponseChoice, decoded, no_schema, schema_text

from tests.unit.wire.refusals import refusal


class Inner(Struct):
    text: str


class Outer(Struct):
    number: int
    inner: list[Inner] = []


DECODER = msgspec.json.Decoder(Outer)


def test_valid_body_is_decoded() -> None:
    assert decoded(DECODER, b'{"number":1,"inner":[{"text":"x"}],"more":0}') == Outer(1, [Inner("x")])


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        (b"{}", "number", "number: Object missing required field `number`"),
        (b'{"number":"1"}', "number", "number: Expected `int`, got `str`"),
        (b'{"number":1,"inner":[{"text":1}]}', "inner[0].text", "inner[0].text: Expected `str`, got `int`"),
        (b'{"number":1,"inner":[{}]}', "inner[0].text", "inner[0].text: Object missing required field `text`"),
        (b"[]", None, "the body: Expected `object`, got `array`"),
        (b"", None, "the body: Input data was truncated"),
        (b'{"number":1,"inner":[{"text":"\xff"}]}', None, "the body: "),
        (b'{"more":' + b"[" * 10_000, None, "the body is nested too deeply"),
    ],
)
def test_invalid_body_is_refused_with_the_field(body: bytes, param: str | None, message: str) -> None:
    found, text = refusal(decoded, DECODER, body)

    assert (found, text[: len(message)]) == (param, message)


@pytest.mark.parametrize(
    ("raw", "text"), [(b"", None), (b"null", None), (b"{}", b"{}"), (b'{"a": [1]}', b'{"a": [1]}')]
)
def test_schema_text_is_unchanged(raw: bytes, text: bytes | None) -> None:
    assert schema_text(msgspec.Raw(raw), "tools[0]") == text
    assert no_schema() == msgspec.Raw()


@pytest.mark.parametrize(
    ("raw", "kind"),
    [(b'"a"', "str"), (b"[{}]", "array"), (b"true", "bool"), (b"false", "bool"), (b"-1", "int"), (b"1e3", "float")],
)
def test_schema_of_another_type_is_refused_with_its_field(raw: bytes, kind: str) -> None:
    message = f"tools[0]: Expected `object | null`, got `{kind}`"

    assert refusal(schema_text, msgspec.Raw(raw), "tools[0]") == ("tools[0]", message)


def test_null_schema_is_refused_if_not_nullable() -> None:
    refused = refusal(schema_text, msgspec.Raw(b"null"), "a", nullable=False)

    assert refused == ("a", "a: Expected `object`, got `null`")


def test_size_of_a_choice_counts_all_its_texts_and_listed_tokens() -> None:
    empty = ResponseChoice(text="", reason="stop").size_bytes()
    call = ToolCall("c", "f", "")

    assert ResponseChoice(text="a" * 500, reason="stop").size_bytes() == empty + 500
    assert ResponseChoice(text="", reason="stop", thought="a" * 500).size_bytes() == empty + 500
    assert ResponseChoice(text="", reason="stop", logprobs=b"a" * 500).size_bytes() == empty + 500
    with_call = ResponseChoice(text="", reason="stop", calls=(call,)).size_bytes()
    longer = ResponseChoice(text="", reason="stop", calls=(ToolCall("c", "f", "a" * 500),)).size_bytes()
    assert (longer - with_call, with_call > empty) == (500, True)
    assert ResponseChoice(text="", reason="stop", tokens=["a"] * 9).size_bytes() == empty + 9 * TOKEN_BYTES
    assert ResponseChoice(text="", reason="stop", tokens=("a",) * 9).size_bytes() == empty
