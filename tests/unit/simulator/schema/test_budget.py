import pytest

from tokenfall.errors import InvalidRequest
from tokenfall.simulator.schema.budget import MAX_STEPS, Budget, Unsatisfiable, malformed, refused, unsatisfiable


def test_exhausted_budget_is_refused_with_keyword_and_limit() -> None:
    budget = Budget()
    budget.spend(MAX_STEPS, "enum")

    with pytest.raises(InvalidRequest, match="`enum` takes more than the 5000 steps of one request") as caught:
        budget.spend(1, "enum")
    assert not isinstance(caught.value, Unsatisfiable)  # Unsatisfiable would lead to a try of the next alternative
    assert budget.spent == MAX_STEPS + 1


def test_steps_for_text_depend_on_length_and_words() -> None:
    costs = []
    for text in ("", "x" * 6_400, "a " * 400):
        budget = Budget()
        assert budget.spend_text(text, "const") == text
        costs.append(budget.spent)

    assert costs == [1, 101, 113]


def test_steps_for_json_depend_on_length() -> None:
    budget = Budget()
    budget.spend_json(b"1" * 80, "const")

    assert budget.spent == 11


def test_refusals_name_the_keyword() -> None:
    assert malformed("minimum", "a number").message.endswith(": `minimum` must be a number")
    assert (
        refused("why").message == unsatisfiable("why").message == "the simulator cannot satisfy this JSON schema: why"
    )
