import pytest

from tokenfall.messages import ChatRequest, Message


def test_absent_options_are_left_to_the_engine() -> None:
    request = ChatRequest(messages=(Message("user", "Hi"),), model="m", max_tokens=5)

    assert (request.temperature, request.simulation) == (None, "")


def test_message_is_immutable() -> None:
    message = Message("user", "Hi")
    with pytest.raises(AttributeError):
        message.content = "Bye"  # type: ignore[misc]
