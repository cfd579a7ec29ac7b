"""The handlers of `/chat`, `/chat/turns`, `/history` and `/conversations`.

They translate between HTTP and `tokenfall.chat.service`, and must not depend on engines or stores.
"""

from __future__ import annotations

from hashlib import sha256
from os import urandom
from time import time

import msgspec

from tokenfall.api import problems
from tokenfall.api.documents import JSON, document, sliced
from tokenfall.api.guard import Callers, Keys
from tokenfall.api.routing import parameter
from tokenfall.chat.service import Chat, Question
from tokenfall.conversations import Conversation, text_bytes
from tokenfall.errors import InvalidRequest, ShuttingDown, TurnStopped
from tokenfall.events import ReasoningDelta, TextDelta
from tokenfall.http.encoding import header_lines
from tokenfall.http.request import Request
from tokenfall.http.response import LiveStream, Response, StreamHead
from tokenfall.memory.leases import ResponseMemory
from tokenfall.messages import Message
from tokenfall.ports import Followed
from tokenfall.simulator.engine import is_simulated
from tokenfall.simulator.grammar import parse
from tokenfall.turns.run import TurnRun
from tokenfall.turns.turn import new_turn_id
from tokenfall.wire import sse
from tokenfall.wire.plain import chat as plain
from tokenfall.wire.plain import conversations as plain_conversations
from tokenfall.wire.plain import stream as plain_stream
from tokenfall.wire.plain.importing import decode_import

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
    `relays`: an upstream is configured, so the simulator serves only its own models.
    """

    def __init__(
        self,
        chat: Chat,
        keys: Keys,
        *,
        callers: Callers,
        memory: ResponseMemory,
        refuse: Callable[[Request, str | None], None] | None = None,
        relays: bool = False,
    ) -> None:
        self._chat = chat
        self._keys = keys
        self._callers = callers
        self._memory = memory
        self._refuse = refuse
        self._relays = relays

    async def chat(self, request: Request) -> Response | LiveStream:
        """`POST /chat`."""
        body = plain.decode_chat(request.body)
        simulation = request.header(b"x-sim") or ""
        parse(simulation)
        if self._refuse is not None:
            self._refuse(request, body.model)
        caller = self._callers.of(request)
        conversation = Conversation(caller.owner, body.conversation)
        turn = await self._chat.begin(
            Question(
                conversation=conversation,
                message=body.question,
                system=body.system,
                model=body.model,
                max_tokens=body.max_tokens,
                temperature=body.temperature,
                simulation=simulation,
                caller=caller,
                reports_reasoning=body.details,
                on_disconnect=body.on_disconnect,
                replaces=body.replaces,
                continues=body.continues,
                after=body.after,
                idempotency=_idempotency(request, body),
            )
        )
        _add_headers(request, turn)
        if body.stream:
            return self._live(turn, announced=body.announce, details=body.details, caller=caller.name)
        request.drop_content()  # it may be large, and the response may take long
        with self._memory.lease(caller.name) as lease:
            text, finished = await self._chat.runner.complete_response(turn, on_size=lease.resize)
            return await sliced(plain.complete_response(text, finished, conversation=conversation.id), lease=lease)

    def defaults(self, request: Request) -> Response:
        """`GET /chat/defaults`."""
        defaults = self._chat.defaults
        is_sim = not self._relays or is_simulated(defaults.model)
        document = plain.ChatDefaults(
            model=defaults.model,
            simulated=is_sim,
            upstream=self._relays,
            max_tokens=defaults.max_tokens,
            context_messages=defaults.context_messages,
            context_tokens=defaults.context_tokens,
        )
        return Response(200, msgspec.json.encode(document), content_type=JSON)

    async def context(self, request: Request) -> Response:
        """`POST /chat/context`."""
        body = plain.decode_context(request.body)
        system = None if body.system is None else Message("system", body.system)
        conversation = Conversation(self._keys.owner(request), body.conversation)
        turns = await self._chat.in_context(conversation, system=system)
        defaults = self._chat.defaults
        found = plain.ChatContext(
            first=turns[0].id if turns else "",
            messages=2 * len(turns),
            max_messages=defaults.context_messages,
            max_tokens=defaults.context_tokens,
            max_stored=defaults.stored_messages,
        )
        return document(msgspec.json.encode(found))

    async def resume(self, request: Request) -> LiveStream:
        """`GET /chat/turns/{turn}`: the events of a turn after `Last-Event-ID`, past and future."""
        after = plain.event_number(request.header(b"last-event-id") or "0")
        switches = _switches(request)
        followed = await self._chat.turns.follow(*self._owned_turn(request), after=after)
        _add_headers(request, followed)
        caller = self._callers.of(request).name
        return self._live(followed, announced="announce" in switches, details="details" in switches, caller=caller)

    async def stop(self, request: Request) -> Response:
        """`POST /chat/turns/{turn}/stop`: 204 after the turn has ended and is stored."""
        await self._chat.turns.stop(*self._owned_turn(request))
        return Response(204)

    async def history(self, request: Request) -> Response | LiveStream:
        """`GET /history`."""
        name, variants = plain_conversations.history_query(request.query())
        conversation = Conversation(self._keys.owner(request), name)
        may_be_missing = name == plain_conversations.DEFAULT_CONVERSATION
        with self._memory.lease(self._callers.of(request).name) as lease:
            lease.resize(await self._chat.history_bytes(conversation))
            turns = await self._chat.history(conversation, may_be_missing=may_be_missing)
            lease.resize(sum(map(text_bytes, turns)))
            return await sliced(plain_conversations.history(turns, variants=variants), lease=lease)

    async def clear(self, request: Request) -> Response:
        """`DELETE /history`."""
        query = request.query()
        if len(query) > 1 or any(name != "conversation" for name, _ in query):
            raise InvalidRequest("the query takes only conversation, at most once")
        name, _ = plain_conversations.history_query(query)
        conversation = Conversation(self._keys.owner(request), name)
        await self._chat.clear(conversation, may_be_missing=name == plain_conversations.DEFAULT_CONVERSATION)
        return Response(204)

    async def conversations(self, request: Request) -> Response | LiveStream:
        """`GET /conversations`."""
        page = plain_conversations.page(request.query())
        found, has_next = await self._chat.conversations(
            self._keys.owner(request), limit=page.limit, after=page.after, words=page.search
        )
        if has_next:
            request.response_headers += header_lines(
                (("link", plain_conversations.next_page(page, last=found[-1].id)),)
            )
        return await sliced(plain_conversations.conversation_list(found))

    async def add(self, request: Request) -> Response:
        """`POST /conversations`: a new conversation with the messages of an exported one."""
        owner = self._keys.owner(request)
        title, turns = decode_import(request.body, now_s=time(), new_id=new_turn_id)
        conversation = Conversation(owner, f"chat-{urandom(8).hex()}")
        await self._chat.add(conversation, turns, title=title)
        return document(plain_conversations.new_conversation(conversation.id), status=201)

    async def change(self, request: Request) -> Response:
        """`PATCH /conversations/{conversation}`."""
        change = plain_conversations.decode_conversation(request.body)
        conversation = self._named_conversation(request)
        if isinstance(change.title, str):
            await self._chat.rename(conversation, change.title)
        if isinstance(change.pinned, bool):
            await self._chat.pin(conversation, change.pinned)
        return Response(204)

    async def delete(self, request: Request) -> Response:
        """`DELETE /conversations/{conversation}`."""
        await self._chat.clear(self._named_conversation(request), may_be_missing=False)
        return Response(204)

    def _live(self, turn: TurnRun | Followed, *, announced: bool, details: bool, caller: str) -> LiveStream:
        frames = _Frames(turn, details=details, begun=announced, survives_restart=self._chat.survives_restart)
        stream = LiveStream(
            _STREAM,
            frames.run,
            failure=frames.failure,
            on_disconnect=turn.detach if isinstance(turn, TurnRun) else None,
            keepalive=sse.PING,
        )
        stream.announced = announced
        stream.memory, stream.caller = self._memory, caller
        return stream

    def _owned_turn(self, request: Request) -> tuple[str, str]:
        """The owner and the turn id."""
        return self._keys.owner(request), plain.turn_id(parameter(request))

    def _named_conversation(self, request: Request) -> Conversation:
        return Conversation(self._keys.owner(request), plain_conversations.conversation_id(parameter(request)))


def _add_headers(request: Request, turn: TurnRun | Followed) -> None:
    headers = [("x-conversation-id", turn.conversation.id), ("x-turn-id", turn.id)]
    if isinstance(turn, TurnRun) and turn.model and turn.model.isprintable():
        headers.append(("x-model", turn.model))
    request.response_headers += header_lines(headers)


def _switches(request: Request) -> set[str]:
    """The query parameters with the value true. Raises `InvalidRequest`."""
    query = request.query()
    given = dict(query)
    if len(given) < len(query) or not given.keys() <= SWITCHES or not set(given.values()) <= {"true", "false"}:
        raise InvalidRequest("the query takes only announce and details, each at most once, true or false")
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
    """Sends a frame for each event of one turn; text frames are numbered from the client's start position.

    `begun`: the status was sent before the first event. `survives_restart`: the turn can be resumed after a shutdown.
    """

    __slots__ = ("_begun", "_details", "_number", "_send", "_survives_restart", "_turn")

    def __init__(self, turn: TurnRun | Followed, *, details: bool, begun: bool, survives_restart: bool) -> None:
        self._turn = turn
        self._details = details
        self._begun = begun
        self._survives_restart = survives_restart
        self._number = turn.after
        self._send: Send

    async def run(self, send: Send) -> bytes:
        """Send all frames but the last, and return that."""
        self._send = send
        try:
            finished = await self._turn.run(self._on_event)
        except TurnStopped as stopped:
            if not self._begun:
                raise
            return problems.error_event(stopped)  # the client requested the stop, so the stream has not failed
        finally:
            del self._send  # breaks a reference cycle with the stream
        full = send(plain.end_frame(finished)) if self._details else None
        if full is not None:
            await full
        return sse.DONE

    def failure(self, error: Exception) -> bytes:
        """The last frame if `run` has failed, or was cancelled by a drain."""
        if not isinstance(error, ShuttingDown):
            return problems.error_event(error)
        fields: dict[str, str | bool] = {"turn": self._turn.id, "resumable": self._survives_restart}
        return plain_stream.error_frame(error.code, error.message, **fields)

    def _on_event(self, delta: TextDelta | ReasoningDelta) -> Awaitable[None] | None:
        self._begun = True
        if type(delta) is not TextDelta:
            return self._send(plain.reasoning_frame(delta.text)) if self._details else None
        self._number += 1
        return self._send(plain.content_frame(self._number, delta.text))
