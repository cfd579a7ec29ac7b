from typing import Any

import pytest

from tokenfall.messages import Message, ToolCall
from tokenfall.wire.anthropic.messages import MAX_BLOCKS, MAX_IMAGES, MAX_OTHERS, RawMessage, messages

from tests.unit.wire.refusals import refusal


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


@pytest.mark.parametrize(
    ("raw", "roles"),
    [
        (
            [assistant("Ask."), HI, user("Ho"), assistant("a"), assistant("b")],
            "assistant user user assistant assistant",
        ),
        ([HI, RawMessage("system", "S"), HI, RawMessage("system", [text("T")])], "user system user system"),
        (
            [HI, assistant(use(1)), assistant(use(2)), user(result(2)), user(result(1))],
            "user assistant assistant tool tool",
        ),
    ],
)
def test_order_of_roles_is_free(raw: list[RawMessage], roles: str) -> None:
    assert [message.role for message in read(*raw)] == roles.split()


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


PNG = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
THOUGHTS = [{"type": "thinking", "thinking": "Hm", "signature": "s"}, {"type": "redacted_thinking", "data": "x"}]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (user(text("What?"), PNG), Message("user", "What?", images=("data:image/png;base64,AAAA",))),
        (assistant(*THOUGHTS, text("So")), Message("assistant", "So", thought="Hm")),
        (assistant(*THOUGHTS), Message("assistant", "", thought="Hm")),
        *(
            (assistant({"type": "thinking", **thinking}, text("So")), Message("assistant", "So"))
            for thinking in ({}, {"thinking": None}, {"thinking": ""})
        ),
        *((empty, Message("assistant", "")) for empty in (assistant(""), assistant(), assistant(text("")))),
        (assistant(text("a"), text("\n"), text("b")), Message("assistant", "a\nb")),
    ],
)
def test_blocks_become_one_message_also_at_the_end(given: RawMessage, expected: Message) -> None:
    assert read(HI, given)[1] == read(HI, given, HI)[1] == expected


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
    assert refusal(read, *raw) == (param, message)


def test_trailing_whitespace_is_accepted_before_the_last_message() -> None:
    assert read(HI, assistant("Ho "), HI)[1] == Message("assistant", "Ho ")


UNANSWERED = (
    "`tool_use` ids were found without `tool_result` blocks immediately after: t1. Each `tool_use` block "
    "must have a corresponding `tool_result` block in the next message."
)
UNCALLED = (
    "unexpected `tool_use_id` found in `tool_result` blocks: t1. Each `tool_result` block must have a corresponding "
    "`tool_use` block in the previous message."
)


@pytest.mark.parametrize(
    ("raw", "param", "message"),
    [
        *(
            (raw, "messages.1", UNANSWERED)
            for raw in (
                [HI, assistant(use(1))],
                [HI, assistant(use(1)), HI],
                [HI, assistant(use(1)), user(text("first"), result(1))],
                [HI, assistant(use(1), use(2)), user(result(2))],
                [HI, assistant(use(1), use(2)), user(result(2)), assistant("Ho")],
                [HI, assistant(use(1), use(2)), user(result(2)), assistant()],
                [HI, assistant(use(1)), RawMessage("system", "S")],
            )
        ),
        ([HI, assistant(use(1)), assistant(use(2)), HI], "messages.1", UNANSWERED.replace("t1", "t1, t2")),
        ([user(result(1))], "messages.0.content.0", UNCALLED),
        ([HI, assistant("Ho"), user(text("a"), result(1))], "messages.2.content.1", UNCALLED),
        ([HI, assistant(use(1)), user(result(1), result(1))], "messages.2.content.1", UNCALLED),
        ([HI, assistant(use(1)), user(result(1)), assistant("Ho"), user(result(1))], "messages.4.content.0", UNCALLED),
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
def test_calls_and_results_that_do_not_match_are_refused(raw: list[RawMessage], param: str, message: str) -> None:
    assert refusal(read, *raw) == (param, f"{param}: {message}")


@pytest.mark.parametrize(
    ("block", "most", "what"),
    [
        ({"type": "text", "text": "a"}, MAX_BLOCKS, "1536 content blocks"),
        ({"type": "other"}, MAX_OTHERS, "1200 content blocks other than texts"),
        ({"type": "image", "source": {"type": "url", "url": "https://a"}}, MAX_IMAGES, "600 images"),
    ],
)
def test_blocks_and_images_of_all_messages_are_limited(block: dict[str, Any], most: int, what: str) -> None:
    read(user(*[block] * most))

    assert refusal(read, user(block), user(*[block] * most)) == ("messages", f"messages: at most {what} are read")


TOO_MANY = f"{{}}: at most {MAX_BLOCKS} content blocks are read"
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
    assert refusal(read, user(block)) == ("messages", TOO_MANY.format("messages"))


@pytest.mark.parametrize(
    ("system", "message"),
    [
        ([text("")], "system: text content blocks must be non-empty"),
        ([text("a")] * (MAX_BLOCKS + 1), TOO_MANY.format("system")),
    ],
)
def test_invalid_system_prompt_is_refused(system: list[dict[str, Any]], message: str) -> None:
    assert refusal(messages, system, [HI]) == ("system", message)
