import pytest

from tokenfall.messages import ChatRequest, Message


def test_what_is_not_said_is_left_to_the_engine() -> None:
    request = ChatRequest(messages=(Message("user", "Hi"),), model="m", max_tokens=5)

    assert (request.temperature, request.simulation) == (None, "")


def test_a_message_does_not_change() -> None:
    message = Message("user", "Hi")
    with pytest.raises(AttributeError):
        message.content = "Bye"  # type: ignore[misc]
