"""The operations of `/chat`, `/history` and `/conversations`."""

from functools import partial

from tokenfall.api.openapi.operation import UPSTREAM, Operation
from tokenfall.conversations import ConversationInfo
from tokenfall.wire import sse
from tokenfall.wire.plain import chat as plain
from tokenfall.wire.plain import conversations as plain_conversations
from tokenfall.wire.plain.importing import ImportBody

_chat = partial(Operation, tag="chat")
_TURN = ("X-Conversation-Id", "X-Turn-Id")

CHAT = {
    "chat.chat": _chat(
        summary="Send a message and receive the response",
        body=plain.ChatBody,
        responses=(plain.ChatResponse,),
        media=(sse.CONTENT_TYPE,),
        parameters=("X-Sim", "Idempotency-Key"),
        headers=(*_TURN, "X-Model"),
        failures=(404, 409, 422, *UPSTREAM),
    ),
    "chat.defaults": _chat(summary="Get the default model and response limit", responses=(plain.ChatDefaults,)),
    "chat.context": _chat(
        summary="Get the messages that the model receives with the next question",
        body=plain.ContextBody,
        responses=(plain.ChatContext,),
        failures=(400, 503),
    ),
    "chat.history": _chat(
        summary="List the messages of a conversation, oldest first",
        responses=(list[plain_conversations.HistoryMessage],),
        parameters=("conversation?", "variants"),
        failures=(400, 404, 503),
    ),
    "chat.clear": _chat(
        summary="Delete a conversation", status=204, parameters=("conversation?",), failures=(400, 404, 503)
    ),
    "chat.resume": _chat(
        summary="Resume the event stream of a turn",
        media=(sse.CONTENT_TYPE,),
        parameters=("turn", "Last-Event-ID", "announce", "details"),
        headers=_TURN,
        failures=(404, 409, 410, *UPSTREAM),
    ),
    "chat.stop": _chat(
        summary="Stop a turn and store its text so far", status=204, parameters=("turn",), failures=(404, 503)
    ),
    "chat.conversations": _chat(
        summary="List or search the caller's conversations, paginated",
        responses=(list[ConversationInfo],),
        parameters=("limit", "after", "search"),
        headers=("Link",),
        failures=(400, 404, 503),
    ),
    "chat.add": _chat(
        summary="Import an exported conversation as a new one",
        body=ImportBody,
        status=201,
        responses=(plain_conversations.NewConversation,),
        failures=(400, 503),
    ),
    "chat.change": _chat(
        summary="Set the title of a conversation, pin or unpin it",
        body=plain_conversations.ConversationBody,
        status=204,
        parameters=("conversation",),
        failures=(400, 404, 503),
    ),
    "chat.delete": _chat(
        summary="Delete a conversation", status=204, parameters=("conversation",), failures=(400, 404, 503)
    ),
}
