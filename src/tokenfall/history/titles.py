"""Default titles of conversations. Pure."""

from tokenfall.conversations import Turn

MAX_TITLE_CHARACTERS = 60


def title_of(first: Turn) -> str:
    """The beginning of the question of turn `first`, in one line, truncated between words if possible."""
    words = first.question.content[: 4 * MAX_TITLE_CHARACTERS].split()
    line = " ".join(words)
    if len(line) <= MAX_TITLE_CHARACTERS:
        return line
    beginning = line[: MAX_TITLE_CHARACTERS - 1]
    return (beginning[: beginning.rfind(" ")] if " " in beginning else beginning) + "…"
