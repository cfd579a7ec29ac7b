import pytest

from tokenfall.errors import UpstreamMalformed
from tokenfall.wire.upstream.model_list import model_names


@pytest.mark.parametrize(
    "body",
    [
        b'{"object":"list","data":[{"id":"a","object":"model"},{"id":"b"},{"id":"a"}]}',
        b'[{"id":"a"},{"id":"b"}]',
        b'{"models":[{"name":"a"},{"model":"b"}]}',
        b'{"data":["a","b",7,null,{"x":1}]}',
        b'{"data":null,"models":[{"id":"a"},{"id":null,"name":"b"}]}',
        b'\xef\xbb\xbf{"data":[{"id":"a"},{"id":"b"}]}',
    ],
)
def test_names_are_read_in_every_known_form(body: bytes) -> None:
    assert model_names(body) == ["a", "b"]


def test_list_may_be_empty() -> None:
    assert model_names(b"[]") == model_names(b'{"data":[]}') == []


def test_surrogate_in_a_name_is_replaced() -> None:
    assert model_names(b'[{"id":"a\\ud83d"}]') == ["a\ufffd"]


@pytest.mark.parametrize("body", [b"", b"<html>", b"7", b"{}", b'{"data":{}}', b"[" * 10_000, b'{"data":"a"}', b"[7]"])
def test_anything_else_is_malformed(body: bytes) -> None:
    with pytest.raises(UpstreamMalformed, match=r"^the upstream's list of models is malformed$"):
        model_names(body)
