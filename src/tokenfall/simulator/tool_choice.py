"""Selects the tools that a simulated response calls. Pure.

These are the tools whose names the last user message mentions, or only the first of them if calls may not be parallel.
If a tool's result follows that message, or no tool is mentioned, none is called, unless `tool_choice` requires a call:
then a tool is called that was not called yet in this turn, or else the first.
"""

from collections.abc import Sequence

from tokenfall.messages import ChatRequest, Message, Tool

MENTIONS_SEARCHED = 10_000_000
"""Maximum product of the characters searched in the last question and the characters of all tool names.

Takes about 5 ms if each name nearly matches at every position.
"""


def tools_to_call(request: ChatRequest) -> Sequence[Tool]:
    """The tools to call, in the order of the calls; see `tool_choice` of `ChatRequest`."""
    choice, tools = request.tool_choice, request.tools
    if not tools or choice == "none":
        return ()
    if choice not in ("auto", "required"):
        return [tool for tool in tools if tool.name == choice][:1]
    turn = _current_turn(request.messages)
    if choice == "auto" and any(message.role == "tool" for message in _after_question(turn)):
        return ()
    question = last_question(request)[: MENTIONS_SEARCHED // (1 + sum(len(tool.name) for tool in tools))]
    chosen: Sequence[Tool] = [tool for tool in tools if _mentions(question, tool.name)]
    if choice == "required":
        called = {call.name for message in turn for call in message.tool_calls}
        chosen = [_required_tool((*chosen, *tools), called)] if called else chosen or tools[:1]
    return chosen if request.parallel_tool_calls else chosen[:1]


def last_question(request: ChatRequest) -> str:
    """The text of the last user message, "" without one."""
    return next((message.content for message in reversed(request.messages) if message.role == "user"), "")


def _current_turn(messages: Sequence[Message]) -> Sequence[Message]:
    """The messages after the last complete response: an assistant message without calls that a user message follows."""
    is_followed = False
    for number in range(len(messages) - 1, -1, -1):
        message = messages[number]
        if is_followed and message.role == "assistant" and not message.tool_calls:
            return messages[number + 1 :]
        is_followed = is_followed or message.role == "user"
    return messages


def _after_question(turn: Sequence[Message]) -> Sequence[Message]:
    """The messages after the last user message."""
    questions = [number for number, message in enumerate(turn) if message.role == "user"]
    return turn[questions[-1] + 1 :] if questions else turn


def _mentions(question: str, name: str) -> bool:
    """Whether a question contains the name of a tool as a separate word, which may be within quotes or brackets."""
    at = question.find(name)
    while at >= 0:
        end = at + len(name)
        if not _continues(question[end : end + 2]) and not _continues(question[max(0, at - 2) : at][::-1]):
            return True
        at = question.find(name, end)
    return False


def _continues(beside: str) -> bool:
    """Whether a name continues in the two characters beside it; in `search-files`, `search` is not a name."""
    if beside[:1] in ("-", "."):
        beside = beside[1:]
    return beside[:1].isalnum() or beside[:1] == "_"


def _required_tool(candidates: Sequence[Tool], called: set[str]) -> Tool:
    """The tool to call if a call is required after others: the first that was not called yet, if any."""
    return next((tool for tool in candidates if tool.name not in called), candidates[0])
