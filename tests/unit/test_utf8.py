import pytest

from tokenfall.utf8 import TextBuffer, utf8_size


@pytest.mark.parametrize("pieces", [(), ("Grü", "", "ße"), ("\ud83d", "\ude00")])
def test_text_is_the_joined_pieces(pieces: tuple[str, ...]) -> None:
    buffer = TextBuffer()
    for text in pieces:
        buffer.add(text)

    assert buffer.text() == "".join(pieces)


@pytest.mark.parametrize(("text", "expected"), [("", 0), ("abc", 3), ("é", 2), ("😀", 4), ("a\ud83d", 4)])
def test_size_is_in_bytes(text: str, expected: int) -> None:
    assert utf8_size(text) == expected
