"""The chat's routes: `POST /chat`, `GET` and `DELETE /history`, `GET /conversations`."""

import logging
from functools import partial

from tokenfall.api import problems
from tokenfall.api.guard import Keys
from tokenfall.chat.service import Answering, Chat, Question
from tokenfall.edge.request import Request
from tokenfall.edge.response import LiveStream, Response, Send, StreamHead, header_lines
from tokenfall.errors import InvalidRequest, TokenfallError, shutting_down
from tokenfall.pacing.grammar import parse
from tokenfall.ports import Conversation
from tokenfall.wire import plain, sse

JSON = "application/json"
_UNCACHED = (("cache-control", "no-store"),)
_STREAM = StreamHead(sse.CONTENT_TYPE)
_FAREWELL = plain.error_frame(shutting_down().code, shutting_down().message)

_log = logging.getLogger(__name__)


class ChatRoutes:
    """The handlers. `keys` tells whose conversations a request may see."""

    def __init__(self, chat: Chat, keys: Keys) -> None:
        self._chat = chat
        self._keys = keys

    async def chat(self, request: Request) -> Response | LiveStream:
        """`POST /chat`."""
        body = plain.decode_chat(request.body)
        simulation = request.header(b"x-sim") or ""
        parse(simulation)
        conversation = Conversation(self._keys.owner(request), body.conversation)
        answering = await self._chat.begin(
            Question(
                conversation=conversation,
                message=body.question,
                system=body.system,
                model=body.model,
                max_tokens=body.max_tokens,
                temperature=body.temperature,
                simulation=simulation,
            )
        )
        request.reply_headers += header_lines((("x-conversation-id", conversation.id), ("x-turn-id", answering.id)))
        if not body.stream:
            return await _whole(answering)
        return LiveStream(_STREAM, partial(_stream, answering), failure=_failure, comment=sse.PING, farewell=_FAREWELL)

    async def history(self, request: Request) -> Response:
        """`GET /history`."""
        conversation, may_be_new = self._asked_conversation(request)
        turns = await self._chat.history(conversation, may_be_new=may_be_new)
        return Response(200, plain.history(list(turns)), content_type=JSON, headers=_UNCACHED)

    async def clear(self, request: Request) -> Response:
        """`DELETE /history`."""
        conversation, may_be_new = self._asked_conversation(request)
        await self._chat.clear(conversation, may_be_new=may_be_new)
        return Response(204)

    async def conversations(self, request: Request) -> Response:
        """`GET /conversations`."""
        found = await self._chat.conversations(self._keys.owner(request))
        return Response(200, plain.conversation_list(list(found)), content_type=JSON, headers=_UNCACHED)

    def _asked_conversation(self, request: Request) -> tuple[Conversation, bool]:
        """Which conversation, and whether it is the default one, which exists before its first turn."""
        query = request.query()
        unknown = sorted({name for name, _ in query} - {"conversation"})
        if unknown or len(query) > 1:
            raise InvalidRequest("the query takes conversation, once, and nothing else")
        name = plain.conversation_id(query[0][1]) if query else plain.DEFAULT_CONVERSATION
        return Conversation(self._keys.owner(request), name), name == plain.DEFAULT_CONVERSATION


async def _stream(answering: Answering, send: Send) -> bytes:
    """Send each token's frame; the last frame."""
    await answering.run(lambda delta: send(plain.content_frame(delta.text)))
    return sse.DONE


async def _whole(answering: Answering) -> Response:
    said: list[str] = []
    finished = await answering.run(lambda delta: said.append(delta.text))
    document = plain.whole_answer("".join(said), finished, conversation=answering.conversation.id)
    return Response(200, document, content_type=JSON, headers=_UNCACHED)


def _failure(error: Exception) -> bytes:
    """The last frame of a stream that broke. Unknown errors are logged, never shown."""
    if isinstance(error, TokenfallError):
        return plain.error_frame(error.code, error.message)
    _log.error("a chat stream failed", exc_info=error)
    return plain.error_frame("internal_error", problems.INTERNAL)
