"""Ends streamed text before the first stop sequence, independently of how the text is split into deltas. Pure."""

from collections.abc import Sequence


class StopSequences:
    """Buffers text that may be the beginning of a stop sequence, until more text arrives."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._firsts = frozenset(stop[0] for stop in stops)
        self._longest = max(map(len, stops))
        self._buffered = ""
        self.found = ""
        """The stop sequence that was found, "" if none yet."""

    def add(self, text: str) -> str:
        """The text that can be emitted now."""
        if self.found:
            return ""
        text = self._buffered + text
        self._buffered = ""
        places = [(place, stop) for stop in self._stops if (place := text.find(stop)) >= 0]
        if places:
            place, self.found = min(places)
            return text[:place]
        start = self._partial_match_start(text)
        self._buffered = text[start:]
        return text[:start]

    def _partial_match_start(self, text: str) -> int:
        """Position of a possible incomplete stop sequence at the end of `text`, else its length."""
        for place in range(max(0, len(text) - self._longest + 1), len(text)):
            if text[place] in self._firsts and any(stop.startswith(text[place:]) for stop in self._stops):
                return place
        return len(text)

    def end(self) -> str:
        """The buffered text. Call once, at the end."""
        text, self._buffered = self._buffered, ""
        return text
