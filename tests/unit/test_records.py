import pytest

from tokenfall.records import Record


class Point(Record):
    x: int
    y: int = 0


class Place(Point):
    pass


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


def test_unknown_field_is_refused() -> None:
    with pytest.raises(TypeError, match="there is no field 'z'"):
        Point(1, z=3)  # type: ignore[call-arg] # the type checker refuses it, too
