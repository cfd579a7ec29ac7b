import pytest

from tokenfall.simulator.paragraph import PARAGRAPH, WORDS
from tokenfall.simulator.prose import Prose, RandomWords
from tokenfall.tokens import count_tokens

LONG = 3 * len(WORDS) + 2


def test_prose_tokens_join_to_the_paragraph() -> None:
    assert "".join(Prose(len(WORDS))) == PARAGRAPH


@pytest.mark.parametrize("count", [0, 1, 7, LONG])
def test_prose_has_the_requested_number_of_tokens(count: int) -> None:
    tokens = Prose(count)

    assert len(tokens) == len(list(tokens)) == count
    assert count_tokens("".join(tokens)) == count


def test_paragraph_repeats() -> None:
    tokens = Prose(len(WORDS) + 1)

    assert (tokens[0], tokens[-1]) == (WORDS[0], f" {WORDS[0]}")


@pytest.mark.parametrize("words", [Prose(LONG), RandomWords(7, LONG)])
def test_computed_tokens_can_start_at_any_token(words: Prose | RandomWords) -> None:
    tokens = list(words)

    assert len(words) == len(tokens)
    assert [words[place] for place in range(LONG)] == tokens
    for cut in (slice(0, 5), slice(2, 9), slice(None, None, 40), slice(-3, None), slice(5, 5)):
        assert list(words[cut]) == tokens[cut]
    with pytest.raises(IndexError):
        words[LONG]


def test_random_words_are_deterministic_and_cover_the_vocabulary() -> None:
    words = list(RandomWords(7, LONG))

    assert words == list(RandomWords(7, LONG)) != list(RandomWords(8, LONG))
    assert words[0] in WORDS
    assert set(RandomWords(7, 20_000)[1:]) == {f" {word}" for word in WORDS}
    assert list(RandomWords(7, 0)) == []
