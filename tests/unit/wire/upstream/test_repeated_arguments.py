import pytest

from tokenfall.wire.upstream.repeated_arguments import MAX_JOINED, RepeatedArguments


def new_parts(*fragments: str) -> list[str]:
    arguments = RepeatedArguments()
    return [arguments.new_part(fragment) for fragment in fragments]


def test_fragments_that_are_new_parts_are_unchanged() -> None:
    assert new_parts("", '{"a":', "", '{"a"', ":1}", "}") == ["", '{"a":', "", '{"a"', ":1}", "}"]


@pytest.mark.parametrize("fragments", [("{", '{"a":', '{"a":1', '{"a":1}'), ('{"a"', '{"a":1}', '{"a":1}')])
def test_repeated_arguments_are_removed(fragments: tuple[str, ...]) -> None:
    assert "".join(new_parts(*fragments)) == '{"a":1}'


def test_beginning_of_an_object_may_be_followed_by_the_same_object_as_a_value() -> None:
    assert new_parts('{"a":', '{"a":1}', "}") == ['{"a":', '{"a":1}', "}"]


def test_new_part_after_repeated_arguments_is_unchanged() -> None:
    assert new_parts("{", '{"a":', "1}", '{"a":1}') == ["{", '"a":', "1}", ""]


def test_long_text_is_not_kept_for_new_parts() -> None:
    long = '{"a":"' + "b" * MAX_JOINED
    parts = [long, long + "c", "d", long + "cd"]

    assert new_parts(*parts) == [long, "c", "d", long + "cd"]


def test_arguments_that_are_no_object_are_unchanged() -> None:
    assert new_parts("a", "ab", "abc") == ["a", "ab", "abc"]
