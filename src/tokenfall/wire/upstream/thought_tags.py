"""Removes the tags around the thoughts of Gemini's OpenAI-compatible API. Pure.

Deltas of thoughts have `"extra_content": {"google": {"thought": true}}`. The first one begins with `<thought>`; the end
tag is at the end of the last one, or at the beginning of the text that follows, and may be split between deltas.
"""

from typing import Any

_START, _END = "<thought>", "</thought>"


def is_thought(delta: dict[str, Any]) -> bool:
    """Whether the content of a delta is marked as a thought."""
    extra = delta.get("extra_content")
    google = extra.get("google") if isinstance(extra, dict) else None
    return isinstance(google, dict) and google.get("thought") is True


class ThoughtTags:
    """The state of one response."""

    __slots__ = ("_held", "_in_thought", "_may_end")

    def __init__(self) -> None:
        self._in_thought = False
        self._may_end = False
        """Whether the next text may begin with the end tag."""
        self._held = ""
        """Text that may be the beginning of the end tag."""

    def thought(self, text: str) -> str:
        """The text of a delta that is marked as a thought, without tags."""
        if not text:
            return ""
        if not self._in_thought:
            text = text.removeprefix(_START)
        self._in_thought = True
        self._may_end = not text.endswith(_END)
        return text.removesuffix(_END)

    def text(self, text: str) -> str:
        """The text of another delta, without the end tag of the thoughts before it."""
        if not text:
            return ""
        self._in_thought = False
        if not self._may_end:
            return text
        text, self._held = self._held + text, ""
        if len(text) < len(_END) and _END.startswith(text):
            self._held = text
            return ""
        self._may_end = False
        return text.removeprefix(_END)

    def end(self) -> str:
        """Held text at the end of the response."""
        return self._held
