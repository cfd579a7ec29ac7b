"""The handlers of `/chat`, `/chat/turns`, `/history` and `/conversations`.

They translate between HTTP and `tokenfall.chat.service`, and must not depend on engines or stores.
"""

from __future__ import annotations

from hashlib import sha256

from tokenfall.api import problems
from tokenfall.api.documents import sliced
from tokenfall.api.guard import Keys
from tokenfall.api.routing import parameter
from tokenfall.chat.service import Chat, Question
from tokenfall.conversations import Conversation
from tokenfall.errors import InvalidRequest, shutting_down
from tokenfall.events import ReasoningDelta, TextDelta
from tokenfall.http.request import Request
from tokenfall.http.response import LiveStream, Response, StreamHead, header_lines
from tokenfall.ports import Followed
from tokenfall.simulator.grammar import parse
from tokenfall.turns.runner import TurnRun
from tokenfall.wire import sse
from tokenfall.wire.plain import chat as plain
from tokenfall.wire.plain import stream as plain_stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tokenfall.http.response import Send


MAX_IDEMPOTENCY_KEY = 255
SWITCHES = {"announce", "details"}
"""The query parameters of a resumed stream."""
_STREAM = StreamHead(sse.CONTENT_TYPE)


class ChatRoutes:
    """The handlers. `keys` identifies the owner of the conversations that a request may access.

    `refuse`, called with the request and its model, raises the error that the simulator is configured to inject.
    """

    def __init__(self, chat: Chat, keys: Keys, *, refuse: Callable[[Request, str | None], None] | None = None) -> None:
        self._chat = chat
        self._keys = keys
        self._refuse = refuse

    async def chat(self, request: Request) -> Response | LiveStream:
        """`POST /chat`."""
        body = plain.decode_chat(request.body)
        simulation = request.header(b"x-sim") or ""
        parse(simulation)
        if self._refuse is not None:
            self._refuse(request, body.model)
        conversation = Conversation(self._keys.owner(request), body.conversation)
        turn = await self._chat.begin(
            Question(
                conversation=conversation,
                message=body.question,
                system=body.system,
                model=body.model,
                max_tokens=body.max_tokens,
                temperature=body.temperature,
                simulation=simulation,
                shows_thoughts=body.details,
                on_disconnect=body.on_disconnect,
                replaces=body.replaces,
                continues=body.continues,
                after=body.after,
                idempotency=_idempotency(request, body),
            )
        )
        _add_headers(request, turn)
        if body.stream:
            return self._live(turn, announced=body.announce, details=body.details)
        text, finished = await self._chat.runner.whole(turn)
        return await sliced(plain.complete_response(text, finished, conversation=conversation.id))

    async def resume(self, request: Request) -> LiveStream:
        """`GET /chat/turns/{turn}`: the events of a turn after `Last-Event-ID`, past and future."""
        after = plain.event_number(request.header(b"last-event-id") or "0")
        switches = _switches(request)
        followed = await self._chat.resume(*self._owned_turn(request), after=after)
        _add_headers(request, followed)
        return self._live(followed, announced="announce" in switches, details="details" in switches)

    async def stop(self, request: Request) -> Response:
        """`POST /chat/turns/{turn}/stop`: 204 after the turn has ended and is stored."""
        await self._chat.stop(*self._owned_turn(request))
        return Response(204)

    async def history(self, request: Request) -> Response | LiveStream:
        """`GET /history`."""
        conversation, may_be_new = self._queried_conversation(request)
        turns = await self._chat.history(conversation, may_be_new=may_be_new)
        return await sliced(plain.history(turns))

    async def clear(self, request: Request) -> Response:
        """`DELETE /history`."""
        conversation, may_be_new = self._queried_conversation(request)
        await self._chat.clear(conversation, may_be_new=may_be_new)
        return Response(204)

    async def conversations(self, request: Request) -> Response | LiveStream:
        """`GET /conversations`."""
        limit, after = plain.page(request.query())
        found = await self._chat.conversations(self._keys.owner(request), limit=limit, after=after)
        return await sliced(plain.conversation_list(found))

    async def rename(self, request: Request) -> Response:
        """`PATCH /conversations/{conversation}`."""
        title = plain.decode_title(request.body)
        await self._chat.rename(self._named_conversation(request), title)
        return Response(204)

    async def delete(self, request: Request) -> Response:
        """`DELETE /conversations/{conversation}`."""
        await self._chat.clear(self._named_conversation(request), may_be_new=False)
        return Response(204)

    def _live(self, turn: TurnRun | Followed, *, announced: bool, details: bool) -> LiveStream:
        fields: dict[str, str | bool] = {"turn": turn.id, "resumable": self._chat.outlives}
        stream = LiveStream(
            _STREAM,
            _Frames(turn, details=details).run,
            failure=problems.error_event,
            goes_on=turn.goes_on if isinstance(turn, TurnRun) else None,
            keepalive=sse.PING,
            shutdown_frame=plain_stream.error_frame(shutting_down().code, shutting_down().message, **fields),
        )
        stream.announced = announced
        return stream

    def _owned_turn(self, request: Request) -> tuple[str, str]:
        """The owner and the turn id."""
        return self._keys.owner(request), plain.turn_id(parameter(request))

    def _named_conversation(self, request: Request) -> Conversation:
        return Conversation(self._keys.owner(request), plain.conversation_id(parameter(request)))

    def _queried_conversation(self, request: Request) -> tuple[Conversation, bool]:
        """The conversation, and whether it is the default one, which exists before its first turn.

        Raises `InvalidRequest`.
        """
        query = request.query()
        unknown = sorted({name for name, _ in query} - {"conversation"})
        if unknown or len(query) > 1:
            raise InvalidRequest("the query takes conversation, once, and nothing else")
        name = plain.conversation_id(query[0][1]) if query else plain.DEFAULT_CONVERSATION
        return Conversation(self._keys.owner(request), name), name == plain.DEFAULT_CONVERSATION


def _add_headers(request: Request, turn: TurnRun | Followed) -> None:
    headers = [("x-conversation-id", turn.conversation.id), ("x-turn-id", turn.id)]
    if isinstance(turn, TurnRun) and turn.model and turn.model.isprintable():
        headers.append(("x-model", turn.model))
    request.reply_headers += header_lines(headers)


def _switches(request: Request) -> set[str]:
    """The query parameters with the value true. Raises `InvalidRequest`."""
    query = request.query()
    given = dict(query)
    if len(given) < len(query) or not given.keys() <= SWITCHES or not set(given.values()) <= {"true", "false"}:
        raise InvalidRequest("the query takes announce and details, each once and true or false, and nothing else")
    return {name for name, value in query if value == "true"}


def _idempotency(request: Request, body: plain.ChatBody) -> tuple[str, str] | None:
    """The Idempotency-Key and the digest of the request; draft-ietf-httpapi-idempotency-key-header-06."""
    key = request.header(b"idempotency-key")
    if key is None:
        return None
    if not (0 < len(key) <= MAX_IDEMPOTENCY_KEY and key.isascii() and key.isprintable()):
        raise InvalidRequest(f"Idempotency-Key takes 1 to {MAX_IDEMPOTENCY_KEY} printable ASCII characters")
    identified = b"\0".join((request.headers.get(b"x-sim", b""), body.digest_bytes()))
    return key, sha256(identified).hexdigest()


class _Frames:
    """Sends a frame for each event of one turn; text frames are numbered from the client's start position."""

    __slots__ = ("_details", "_number", "_send", "_turn")

    def __init__(self, turn: TurnRun | Followed, *, details: bool) -> None:
        self._turn = turn
        self._details = details
        self._number = turn.after
        self._send: Send

    async def run(self, send: Send) -> bytes:
        """Send all frames but the last, and return that."""
        self._send = send
        try:
            finished = await self._turn.run(self._on_event)
        finally:
            del self._send  # breaks a reference cycle with the stream
        full = send(plain.end_frame(finished)) if self._details else None
        if full is not None:
            await full
        return sse.DONE

    def _on_event(self, delta: TextDelta | ReasoningDelta) -> Awaitable[None] | None:
        if type(delta) is not TextDelta:
            return self._send(plain.reasoning_frame(delta.text)) if self._details else None
        self._number += 1
        return self._send(plain.content_frame(self._number, delta.text))
