"""Immutable values with named fields, without msgspec or dataclasses, which cost megabytes. Pure."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, ClassVar, Self, dataclass_transform
else:

    def dataclass_transform(**_: object) -> "Callable[[type], type]":
        return lambda cls: cls


@dataclass_transform(frozen_default=True)
class Record:
    """Base class: the annotations of a subclass are its fields. Equality, hash and repr are by field, in their order.

    Treat instances as immutable. The type checker verifies that fields without a default are given.
    """

    _fields: "ClassVar[tuple[str, ...]]" = ()

    def __init_subclass__(cls) -> None:
        cls._fields += tuple(cls.__annotations__)

    def __init__(self, *values: object, **named: object) -> None:
        """Raises TypeError for an unknown field."""
        for name in named:
            if name not in self._fields:
                raise TypeError(f"there is no field {name!r}")
        self.__dict__.update(zip(self._fields, values, strict=False), **named)

    def replaced(self, **fields: object) -> "Self":
        """A copy with other values for `fields`."""
        return type(self)(**{**vars(self), **fields})

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash((type(self), self._values()))

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in zip(self._fields, self._values(), strict=True))
        return f"{type(self).__name__}({fields})"

    def _values(self) -> "tuple[Any, ...]":
        return tuple(getattr(self, name) for name in self._fields)
