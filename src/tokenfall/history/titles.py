"""What a conversation is called until somebody names it. Pure."""

from tokenfall.conversations import Turn

MAX_TITLE_CHARACTERS = 60


def title_of(first: Turn) -> str:
    """The beginning of its first question, in one line, cut between words where there are any."""
    words = first.question.content[: 4 * MAX_TITLE_CHARACTERS].split()
    line = " ".join(words)
    if len(line) <= MAX_TITLE_CHARACTERS:
        return line
    cut = line[: MAX_TITLE_CHARACTERS - 1]
    return (cut[: cut.rfind(" ")] if " " in cut else cut) + "…"
