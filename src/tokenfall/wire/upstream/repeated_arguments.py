"""Finds the new part of tool call arguments if a provider repeats all arguments so far in every fragment. Pure.

A fragment repeats the text before it if it begins with it, and if the text could not be valid JSON otherwise: an object
cannot follow the beginning of an object, except as a value.
"""

MAX_JOINED = 65_536
"""Characters up to which new fragments are added to the kept text: each addition copies it."""

_BEFORE_A_VALUE = (":", "[", ",")


class RepeatedArguments:
    """The arguments of one call. The text is kept only as long as fragments may repeat it."""

    __slots__ = ("_repeats", "_so_far")

    def __init__(self) -> None:
        self._so_far: str | None = ""
        """None once the text is no longer kept."""
        self._repeats = False

    def new_part(self, arguments: str) -> str:
        """The part of a fragment that is new."""
        so_far = self._so_far
        if so_far is None or not arguments:
            return arguments
        if not so_far:
            self._so_far = arguments if arguments.startswith("{") else None
            return arguments
        if arguments.startswith(so_far) and (self._repeats or not so_far.rstrip().endswith(_BEFORE_A_VALUE)):
            self._repeats = True
            self._so_far = arguments
            return arguments.removeprefix(so_far)
        self._so_far = so_far + arguments if self._repeats and len(so_far) < MAX_JOINED else None
        return arguments
