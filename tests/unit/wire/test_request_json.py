import tracemalloc

import pytest

from tokenfall.errors import InvalidRequest
from tokenfall.slicing.computation import at_once
from tokenfall.wire.request_json import (
    MAX_CONTAINERS,
    MAX_DEPTH,
    MAX_STRINGS,
    MAX_VALUES,
    SHORT_BYTES,
    SLICE_BYTES,
    check_members,
)

from tests.unit.wire.refusals import refusal

MANY = b"[" + b",".join([b'{"a":1}'] * 5_000) + b"]"
"""More values than a body that is parsed synchronously may have."""


def check(body: bytes) -> None:
    at_once(check_members(body))


def objects_of_sizes(members: bytes) -> list[bytes]:
    """An object with these members: short, long, and long with many values before or after them."""
    return [
        b"{" + members + b"}",
        b"{" + members + b"}" + b" " * SHORT_BYTES,
        b'{"many":' + MANY + b"," + members + b"}",
        b"{" + members + b',"many":' + MANY + b"}",
        b'{"in":[{"many":' + MANY + b"},{" + members + b"}]}",
    ]


@pytest.mark.parametrize(
    ("members", "name"),
    [
        (b'"a":1,"a":1', "a"),
        (b'"a" : 1 , "b" : {} , "a" : 2', "a"),
        (b'"b":{"a":[{"c":"x","c":"x"}]}', "c"),
        (b'"b":[{"a":{}},{"c":[{"a":1},{"a":1}],"c":null}]', "c"),
        (b'"a":1,"\\u0061":2', "a"),
        (b'"a\\\\b":1,"a\\u005cb":2', "a\\b"),
        (b'"\\"":1,"\\u0022":2', '"'),
        (b'"\xc3\xa9":1,"\\u00e9":2', "é"),
        (b'"":1,"":2', '""'),
        (b'"a\\n":1,"a\\n":2', "a\\n"),
        (b'"' + b"a" * 500 + b'":1,"' + b"a" * 500 + b'":2', "a" * 100),
    ],
)
def test_object_with_two_members_of_one_name_is_refused_with_the_name(members: bytes, name: str) -> None:
    for body in objects_of_sizes(members):
        assert refusal(check, body) == (name, f"{name}: an object has this member twice")


@pytest.mark.parametrize(
    "members",
    [
        b'"a":1,"b":{"a":1,"b":{"a":1}},"c":[{"a":1},{"a":1}]',
        b'"a":"\\"a\\":1,","b":"}{","c":"\\\\","d":"{\\"c\\":","e":1',
        b'"a":["a","a"],"b":"a","A":1,"a ":1',
        b'"a\\u005c":1,"a":2',
        b'"a":{"b":"x"},"b":{"a":"y"},"c":[{"a":"x"},{"a":"y"}]',
        b'"a":{},"b":[],"c":[[],[{}]],"d":true,"e":null',
        b'"a":1e308,"b":-1.7976931348623157E+308,"c":1e-999,"d":0.' + b"1" * 5_000,
        b'"a":[' + b",".join([b"-" + b"9" * 4_300] * 4 + [b"9" * 310] * 12) + b"]",
        b'"a":' + b"1" * 308 + b',"b":0.' + b"0" * 5_000,
        b'"a":"' + b"9" * 5_000 + b'","b":"1e999"',
    ],
)
def test_body_of_different_names_and_finite_numbers_is_accepted(members: bytes) -> None:
    for body in objects_of_sizes(members):
        check(body)


@pytest.mark.parametrize(
    ("members", "name"),
    [
        (b'"a":' + b"9" * 5_000, "a"),
        (b'"a":-' + b"9" * 5_000, "a"),
        (b'"a":[' + b",".join([b"9" * 310] * 17) + b"]", "a"),
        (b'"a":' + b"9" * 310 + b"e0", "a"),
        (b'"a":{"b":[0,[1e309]]}', "b"),
        (b'"a":1E+400,"b":1', "a"),
        (b'"a":' + b"1" * 250 + b"e99", "a"),
        (b'"a":' + b"9" * 309 + b".5", "a"),
    ],
)
def test_number_beyond_float64_is_refused_with_its_member(members: bytes, name: str) -> None:
    for body in objects_of_sizes(members):
        assert refusal(check, body) == (name, f"{name}: a number is out of range")
    assert refusal(check, b"[1e999]") == (None, "the body: a number is out of range")


@pytest.mark.parametrize("position", range(-3, 4))
@pytest.mark.parametrize("middle", [rb"\\", rb"\"", rb"\\\"", b"", b"x"])
def test_slices_do_not_split_an_escape(middle: bytes, position: int) -> None:
    prefix = b'{"many":' + MANY + b',"a":"'
    text = b"x" * (-(len(prefix) + position) % SLICE_BYTES) + middle + b"y" * SLICE_BYTES

    check(prefix + text + b'","y":1}')
    with pytest.raises(InvalidRequest, match="z: an object has this member twice"):
        check(prefix + text + b'","z":1,"z":2}')


@pytest.mark.parametrize("text", [b"9" * 100_000, b"1." + b"0" * 100_000, b"-" * 100_000, b"e" * 100_000])
def test_number_longer_than_a_slice_is_refused_before_its_end(text: bytes) -> None:
    checked = check_members(MANY[:-1] + b"," + text)
    with pytest.raises(InvalidRequest, match="a number is out of range"):
        at_once(checked)


def test_long_text_without_strings_is_not_collected() -> None:
    checked = check_members(b"sk- " * 250_000)
    for _ in range(10):  # the attempt to parse the body, and the counts, have copies of it
        next(checked)
    tracemalloc.start()
    at_once(checked)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak_bytes < 10 * SLICE_BYTES


def test_long_array_of_numbers_is_read_in_slices() -> None:
    numbers = b",".join(b"%d" % number for number in range(50_000))

    check(b'{"input":[' + numbers + b"]}")
    with pytest.raises(InvalidRequest, match="input: a number is out of range"):
        check(b'{"input":[' + numbers + b",1e999," + numbers[:9_999] + b"]}")
    assert sum(1 for _ in check_members(b"[" + numbers + b"]")) > len(numbers) // SLICE_BYTES


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"}",
        b'{"a":1}}' * 5_000,
        b'"',
        b"\xff",
        b'{"a',
        b"[1 2",
        b"nul",
        b"NaN",
        b'"' + b"a" * 20_000 + b'"',
        b'{"\\ud800":1,"\\ud801":1}',
        b'{"\\ud800":1,"\\x":1}',
    ],
)
def test_body_that_is_not_a_json_object_is_left_to_the_decoder(body: bytes) -> None:
    check(body)


def test_objects_nested_too_deeply_are_refused() -> None:
    check(b'{"a":' * MAX_DEPTH + b"1" + b"}" * MAX_DEPTH + b" " * SHORT_BYTES)

    with pytest.raises(InvalidRequest, match="the body is nested too deeply"):
        check(b'{"a":' * 5_000)


BACKSLASH, QUOTE = rb"\\", rb"\""


@pytest.mark.parametrize(
    ("value", "most", "what"),
    [
        (b'"a"', MAX_STRINGS, "32768 strings"),
        (b'"' + BACKSLASH + b'"', MAX_STRINGS, "32768 strings"),
        (b'"' + BACKSLASH + QUOTE + b'"', MAX_STRINGS, "32768 strings"),
        (b"{}", MAX_CONTAINERS - 1, "32768 objects and arrays"),
        (b"[]", MAX_CONTAINERS - 1, "32768 objects and arrays"),
        (b"1", MAX_VALUES, "100000 values"),
    ],
)
def test_body_with_too_many_values_is_refused(value: bytes, most: int, what: str) -> None:
    check(b"[" + b",".join([value] * most) + b"]")

    with pytest.raises(InvalidRequest, match=f"more than {what}"):
        check(b"[" + b",".join([value] * (most + 1)) + b"]")


@pytest.mark.parametrize("text", [b"{[,", QUOTE, BACKSLASH, BACKSLASH + QUOTE, b"{" + QUOTE + b",", b"]]"])
def test_delimiters_in_strings_are_not_counted(text: bytes) -> None:
    check(b'{"a":"' + text * 200_000 + b'"}')
