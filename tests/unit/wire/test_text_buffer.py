from tokenfall.wire.text_buffer import TextBuffer


def test_text_is_the_joined_pieces() -> None:
    buffer = TextBuffer()
    for text in ("Grü", "", "ße"):
        buffer.add(text)

    assert buffer.text() == "Grüße"


def test_surrogate_halves_in_two_pieces_are_preserved() -> None:
    buffer = TextBuffer()
    buffer.add("\ud83d")
    buffer.add("\ude00")

    assert buffer.text() == "\ud83d\ude00"
