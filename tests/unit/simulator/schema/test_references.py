import pytest

from tokenfall.errors import InvalidRequest
from tokenfall.simulator.schema.budget import Budget
from tokenfall.simulator.schema.references import MAX_REFERENCE, resolve_reference

ROOT = {
    "$defs": {"a/b~": {"type": "null"}, "c d": True, "": False, "1": {}},
    "allOf": [{}, {"title": "second"}],
    "x": 7,
}


@pytest.mark.parametrize(
    ("reference", "target"),
    [
        ("#", ROOT),
        ("#/$defs/a~1b~0", {"type": "null"}),
        ("#/%24defs/a~1b~0", {"type": "null"}),
        ("#/$defs/%61~1b%7E0", {"type": "null"}),
        ("#/$defs/c%20d", True),
        ("#/$defs/", False),
        ("#/$defs/1", {}),
        ("#/allOf/1", {"title": "second"}),
    ],
)
def test_reference_gives_the_same_object_as_in_the_schema(reference: str, target: object) -> None:
    found = resolve_reference(ROOT, reference, budget=Budget())

    assert found == target
    assert found is resolve_reference(ROOT, reference, budget=Budget())


@pytest.mark.parametrize(
    "reference",
    [
        "",
        "a",
        "#a",
        "https://example.com/schema",
        "#/nowhere",
        "#/allOf/2",
        "#/allOf/01",
        "#/allOf/-1",
        "#/allOf/١",
        "#/allOf/99999999999",
        "#/x",
        "#/x/0",
        "#/allOf",
        "#" + "/a" * MAX_REFERENCE,
    ],
)
def test_reference_to_something_else_than_a_schema_is_refused(reference: str) -> None:
    with pytest.raises(InvalidRequest, match=r"`\$ref`"):
        resolve_reference(ROOT, reference, budget=Budget())
