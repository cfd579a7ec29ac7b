import json
import runpy
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfall import json_text
from tokenfall.json_text import flat_object, quoted


def test_quoted_text_is_the_same_in_an_interpreter_without_the_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "_json", None)
    without = runpy.run_path(json_text.__file__)

    assert without["quoted"]('a"\n\x00é') == quoted('a"\n\x00é')


@given(st.text())
def test_quoted_text_round_trips_through_a_json_parser(text: str) -> None:
    assert json.loads(quoted(text)) == text


def test_lone_surrogate_is_written_as_its_escape() -> None:
    assert json.loads(quoted("a\ud800é")) == "a\\ud800é"


@pytest.mark.parametrize(
    ("fields", "document"),
    [
        ({}, b"{}"),
        ({"a": 'x"\n'}, b'{"a":"x\\"\\n"}'),
        ({"a": 1, "b": True, "c": False, "d": "é"}, '{"a":1,"b":true,"c":false,"d":"é"}'.encode()),
    ],
)
def test_flat_object_is_json_without_white_space(fields: dict[str, str | int | bool], document: bytes) -> None:
    assert flat_object(fields) == document
