import pytest

from tokenfall.records import Record


class Point(Record):
    __slots__ = ("x", "y")

    def __init__(self, x: int, y: int = 0) -> None:
        self.x = x
        self.y = y


class Place(Point):
    __slots__ = ()


def test_records_with_equal_fields_are_equal() -> None:
    assert Point(1, 2) == Point(1, 2)
    assert hash(Point(1, 2)) == hash(Point(1, 2))
    assert Point(1, 2) != Point(2, 1)


@pytest.mark.parametrize("other", [(1, 2), None, Place(1, 2)])
def test_record_is_not_equal_to_a_value_of_another_type(other: object) -> None:
    assert Point(1, 2) != other


def test_replaced_returns_a_changed_copy() -> None:
    point = Point(1, 2)

    assert (point.replaced(y=3), point) == (Point(1, 3), Point(1, 2))


def test_repr_of_a_record_has_its_fields() -> None:
    assert repr(Point(1, 2)) == "Point(x=1, y=2)"
