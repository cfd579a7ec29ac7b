from tokenfall.wire.text_buffer import TextBuffer


def test_text_is_the_joined_pieces() -> None:
    buffer = TextBuffer("Grü")
    buffer.add("")
    buffer.add("ße")

    assert buffer.text() == "Grüße"


def test_surrogate_halves_in_two_pieces_are_preserved() -> None:
    buffer = TextBuffer("\ud83d")
    buffer.add("\ude00")

    assert buffer.text() == "\ud83d\ude00"
