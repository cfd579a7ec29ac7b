"""Ends a text before the first of some stop texts, however the text is cut. Pure."""

from collections.abc import Sequence


class StopTexts:
    """What may be the beginning of a stop text is held until it is known not to be one."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._firsts = frozenset(stop[0] for stop in stops)
        self._longest = max(map(len, stops))
        self._held = ""
        self.found = ""
        """The stop text that ended the text, "" while none did."""

    def add(self, text: str) -> str:
        """What can be told of the text so far."""
        if self.found:
            return ""
        text = self._held + text
        self._held = ""
        places = [(place, stop) for stop in self._stops if (place := text.find(stop)) >= 0]
        if places:
            place, self.found = min(places)
            return text[:place]
        begins = self._begins(text)
        self._held = text[begins:]
        return text[:begins]

    def _begins(self, text: str) -> int:
        """Where a stop text may begin that `text` does not have whole."""
        for place in range(max(0, len(text) - self._longest + 1), len(text)):
            if text[place] in self._firsts and any(stop.startswith(text[place:]) for stop in self._stops):
                return place
        return len(text)

    def end(self) -> str:
        """What is held: no more text follows."""
        held, self._held = self._held, ""
        return held
