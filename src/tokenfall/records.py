"""Immutable values with named fields, without msgspec or dataclasses, which cost megabytes. Pure."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self


class Record:
    """Base class: equality, hash and repr by `__slots__`, in their order. Treat instances as immutable."""

    __slots__: tuple[str, ...] = ()

    def replaced(self, **fields: object) -> "Self":
        """A copy with other values for `fields`."""
        return type(self)(**{**self.as_dict(), **fields})

    def as_dict(self) -> "dict[str, Any]":
        """The fields by name."""
        return {name: getattr(self, name) for name in self.__slots__}

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash((type(self), self._values()))

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self.as_dict().items())
        return f"{type(self).__name__}({fields})"

    def _values(self) -> "tuple[Any, ...]":
        return tuple(getattr(self, name) for name in self.__slots__)
