from tokenfall.events import Usage


def test_total_tokens_is_prompt_plus_completion() -> None:
    assert Usage(3, 4).total_tokens == 7
