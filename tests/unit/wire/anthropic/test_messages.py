from typing import Any

import pytest

from tokenfall.errors import InvalidRequest
from tokenfall.messages import Message, ToolCall
from tokenfall.wire.anthropic.messages import MAX_BLOCKS, MAX_IMAGES, MAX_OTHERS, RawMessage, messages


def user(*content: Any) -> RawMessage:
    return RawMessage("user", content[0] if content and isinstance(content[0], str) else list(content))


def assistant(*content: Any) -> RawMessage:
    return RawMessage("assistant", content[0] if content and isinstance(content[0], str) else list(content))


def text(content: str) -> dict[str, Any]:
    return {"type": "text", "text": content}


def use(number: int) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"t{number}", "name": "weather", "input": {"n": number}}


def result(number: int, **fields: object) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": f"t{number}", **fields}


HI = user("Hi")
CALL = ToolCall("t1", "weather", '{"n":1}')


def read(*raw: RawMessage) -> list[Message]:
    return list(messages(None, raw))


def refusal(*raw: RawMessage) -> tuple[str | None, str]:
    with pytest.raises(InvalidRequest) as refused:
        messages(None, raw)
    return refused.value.param, refused.value.message


def test_string_and_text_blocks_give_the_same_message() -> None:
    assert read(HI, assistant("Ho"), user(text("a"), text("b"))) == [
        Message("user", "Hi"),
        Message("assistant", "Ho"),
        Message("user", "ab"),
    ]
    assert read(user(text("Hi"))) == read(HI)


def test_system_prompt_is_the_first_message_with_blocks_as_paragraphs() -> None:
    assert messages("Be brief.", [HI]) == (Message("system", "Be brief."), Message("user", "Hi"))
    assert messages([text("A"), text("B")], [HI])[0] == Message("system", "A\n\nB")
    assert messages("", [HI]) == messages([], [HI]) == (Message("user", "Hi"),)


def test_repeated_roles_and_a_leading_assistant_are_accepted() -> None:
    roles = [message.role for message in read(assistant("Ask."), HI, user("Ho"), assistant("a"), assistant("b"))]

    assert roles == ["assistant", "user", "user", "assistant", "assistant"]


def test_system_message_in_the_middle_is_accepted() -> None:
    read_ = read(HI, RawMessage("system", "Be brief."), assistant("Ho"), HI, RawMessage("system", [text("Now.")]))

    assert [message.role for message in read_] == ["user", "system", "assistant", "user", "system"]


PICTURE = {"type": "image", "source": {"type": "url", "url": "https://a.b/c"}}
DOCUMENT = {"type": "document", "source": {"type": "content", "content": [text("sun"), PICTURE]}}


def test_call_and_its_results_are_decoded() -> None:
    image = {"type": "image", "source": {"type": "url", "url": "https://a.b/c"}}
    results = user(result(1, content=[text("sun"), image]), result(2, content="rain", is_error=True), text("And?"))

    assert read(HI, assistant(text("Look."), use(1), use(2)), results) == [
        Message("user", "Hi"),
        Message("assistant", "Look.", tool_calls=(CALL, ToolCall("t2", "weather", '{"n":2}'))),
        Message("tool", "sun", tool_call_id="t1", images=("https://a.b/c",)),
        Message("tool", "rain", tool_call_id="t2"),
        Message("user", "And?"),
    ]


def test_results_in_several_messages_of_one_turn_are_decoded() -> None:
    decoded = read(HI, assistant(use(1)), assistant(use(2)), user(result(2)), user(result(1)))

    assert [message.role for message in decoded] == ["user", "assistant", "assistant", "tool", "tool"]


def test_images_and_text_of_a_message_are_decoded() -> None:
    source = {"type": "base64", "media_type": "image/png", "data": "AAAA"}

    assert read(user(text("What?"), {"type": "image", "source": source})) == [
        Message("user", "What?", images=("data:image/png;base64,AAAA",))
    ]


@pytest.mark.parametrize(
    ("blocks", "content", "places"),
    [
        ((text("One:"), PICTURE, text("Two:"), PICTURE), "One:Two:", (4, 8)),
        ((PICTURE, text("What?")), "What?", (0,)),
        ((text("What?"), PICTURE, PICTURE), "What?", ()),
        ((PICTURE,), "", ()),
        ((text("Like"), DOCUMENT, text("this?")), "Like\nsun\nthis?", (9,)),
    ],
)
def test_images_keep_their_place_in_the_text(
    blocks: tuple[dict[str, Any], ...], content: str, places: tuple[int, ...]
) -> None:
    (message,) = read(user(*blocks))

    assert (message.content, message.image_places) == (content, places)


def test_thinking_is_preserved_unless_encrypted() -> None:
    thoughts = [{"type": "thinking", "thinking": "Hm", "signature": "s"}, {"type": "redacted_thinking", "data": "x"}]

    assert read(HI, assistant(*thoughts, text("So")))[1] == Message("assistant", "So", thought="Hm")
    assert read(HI, assistant(*thoughts), HI)[1] == Message("assistant", "", thought="Hm")


@pytest.mark.parametrize("thinking", [{}, {"thinking": None}, {"thinking": ""}])
def test_thinking_without_text_is_empty(thinking: dict[str, Any]) -> None:
    assert read(HI, assistant({"type": "thinking", **thinking}, text("So")))[1] == Message("assistant", "So")


@pytest.mark.parametrize("empty", [assistant(""), assistant(), assistant(text(""))])
def test_assistant_message_may_be_empty(empty: RawMessage) -> None:
    assert read(HI, empty)[1] == Message("assistant", "")
    assert read(HI, empty, HI)[1] == Message("assistant", "")


def test_assistant_message_may_have_blank_blocks() -> None:
    assert read(HI, assistant(text("a"), text("\n"), text("b")), HI)[1] == Message("assistant", "a\nb")


SYSTEM = (
    'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter, not "system" as an '
    "input message role."
)
EMPTY = "all messages must have non-empty content except for the optional final assistant message"


@pytest.mark.parametrize(
    ("raw", "param", "message"),
    [
        ([], "messages", "messages: at least one message is required"),
        ([RawMessage("system", "S"), HI], "messages", SYSTEM),
        (
            [HI, RawMessage("tool", "S")],
            "messages",
            'messages: Unexpected role "tool". Allowed roles are "user" or "assistant".',
        ),
        ([user("")], "messages.0", f"messages.0: {EMPTY}"),
        ([HI, user()], "messages.1", f"messages.1: {EMPTY}"),
        ([user(text("a"), text(""))], "messages", "messages: text content blocks must be non-empty"),
        ([user(" \n")], "messages", "messages: text content blocks must contain non-whitespace text"),
        ([HI, assistant("Ho ")], "messages", "messages: final assistant content cannot end with trailing whitespace"),
    ],
)
def test_requests_refused_by_the_api_are_refused(raw: list[RawMessage], param: str, message: str) -> None:
    assert refusal(*raw) == (param, message)


def test_trailing_whitespace_is_accepted_before_the_last_message() -> None:
    assert read(HI, assistant("Ho "), HI)[1] == Message("assistant", "Ho ")


def test_empty_system_prompt_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"^system: text content blocks must be non-empty$"):
        messages([text("")], [HI])


UNANSWERED = (
    "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: t1. Each `tool_use` block "
    "must have a corresponding `tool_result` block in the next message."
)
UNCALLED = (
    "unexpected `tool_use_id` found in `tool_result` blocks: t1. Each `tool_result` block must have a corresponding "
    "`tool_use` block in the previous message."
)


@pytest.mark.parametrize(
    "raw",
    [
        [HI, assistant(use(1))],
        [HI, assistant(use(1)), HI],
        [HI, assistant(use(1)), user(text("first"), result(1))],
        [HI, assistant(use(1), use(2)), user(result(2))],
        [HI, assistant(use(1), use(2)), user(result(2)), assistant("Ho")],
        [HI, assistant(use(1), use(2)), user(result(2)), assistant()],
        [HI, assistant(use(1)), RawMessage("system", "S")],
    ],
)
def test_call_without_its_result_is_refused(raw: list[RawMessage]) -> None:
    assert refusal(*raw) == ("messages.1", UNANSWERED)


def test_calls_without_results_are_listed_together() -> None:
    param, message = refusal(HI, assistant(use(1)), assistant(use(2)), HI)

    assert param == "messages.1"
    assert message == UNANSWERED.replace("t1", "t1, t2")


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        ([user(result(1))], "messages.0.content.0"),
        ([HI, assistant("Ho"), user(text("a"), result(1))], "messages.2.content.1"),
        ([HI, assistant(use(1)), user(result(1), result(1))], "messages.2.content.1"),
        ([HI, assistant(use(1)), user(result(1)), assistant("Ho"), user(result(1))], "messages.4.content.0"),
    ],
)
def test_result_without_its_call_is_refused(raw: list[RawMessage], place: str) -> None:
    assert refusal(*raw) == (place, f"{place}: {UNCALLED}")


@pytest.mark.parametrize(
    ("raw", "place", "message"),
    [
        ([user(use(1))], "messages.0.content.0", "`tool_use` blocks can only be in `assistant` messages"),
        ([HI, assistant(result(1))], "messages.1.content.0", "`tool_result` blocks can only be in `user` messages"),
        ([HI, assistant(use(1), use(1))], "messages.1.content.1", "`tool_use` ids must be unique"),
        (
            [HI, assistant(use(1)), user(result(1)), assistant(use(1))],
            "messages.3.content.0",
            "`tool_use` ids must be unique",
        ),
    ],
)
def test_calls_and_results_in_wrong_roles_are_refused(raw: list[RawMessage], place: str, message: str) -> None:
    assert refusal(*raw) == (place, f"{place}: {message}")


@pytest.mark.parametrize(
    ("block", "most", "what"),
    [
        ({"type": "text", "text": "a"}, MAX_BLOCKS, "1536 content blocks"),
        ({"type": "other"}, MAX_OTHERS, "1200 content blocks other than texts"),
        ({"type": "image", "source": {"type": "url", "url": "https://a"}}, MAX_IMAGES, "600 images"),
    ],
)
def test_blocks_and_images_of_all_messages_are_limited(block: dict[str, Any], most: int, what: str) -> None:
    messages(None, [RawMessage("user", [block] * most)])

    with pytest.raises(InvalidRequest, match=f"at most {what}"):
        messages(None, [RawMessage("user", [block]), RawMessage("user", [block] * most)])


MANY = [{"type": "text", "text": "b"}] * MAX_BLOCKS
DOCUMENT = {"type": "document", "source": {"type": "content", "content": MANY}}


@pytest.mark.parametrize(
    "block",
    [
        {"type": "tool_result", "tool_use_id": "a", "content": MANY},
        {"type": "search_result", "source": "s", "title": "t", "content": MANY},
        DOCUMENT,
        {"type": "tool_result", "tool_use_id": "a", "content": [7, DOCUMENT]},
    ],
)
def test_blocks_within_blocks_are_counted(block: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="at most 1536 content blocks"):
        messages(None, [RawMessage("user", [block])])


def test_blocks_of_a_system_prompt_are_limited() -> None:
    with pytest.raises(InvalidRequest, match="at most 1536 content blocks"):
        messages([{"type": "text", "text": "a"}] * (MAX_BLOCKS + 1), [RawMessage("user", "a")])
