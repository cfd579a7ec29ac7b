"""Cuts streamed text before the first stop text, independently of how the text is split into deltas. Pure."""

from collections.abc import Sequence


class StopTexts:
    """Holds back text that may be the beginning of a stop text until more text decides it."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._firsts = frozenset(stop[0] for stop in stops)
        self._longest = max(map(len, stops))
        self._held = ""
        self.found = ""
        """The stop text that was found, "" if none yet."""

    def add(self, text: str) -> str:
        """The text that can be emitted now."""
        if self.found:
            return ""
        text = self._held + text
        self._held = ""
        places = [(place, stop) for stop in self._stops if (place := text.find(stop)) >= 0]
        if places:
            place, self.found = min(places)
            return text[:place]
        start = self._partial_match_start(text)
        self._held = text[start:]
        return text[:start]

    def _partial_match_start(self, text: str) -> int:
        """Position of a possible incomplete stop text at the end of `text`, else its length."""
        for place in range(max(0, len(text) - self._longest + 1), len(text)):
            if text[place] in self._firsts and any(stop.startswith(text[place:]) for stop in self._stops):
                return place
        return len(text)

    def end(self) -> str:
        """The text that is still held back. Call once, at the end."""
        held, self._held = self._held, ""
        return held
