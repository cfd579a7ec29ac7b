from collections.abc import AsyncIterator

import pytest

from tokenfall.api.simulator import PlainStream
from tokenfall.bootstrap import Server
from tokenfall.chat.service import Question
from tokenfall.conversations import Conversation
from tokenfall.errors import OriginNotAllowed, UpstreamUnreachable
from tokenfall.events import Finished
from tokenfall.http.response import SteadyStream
from tokenfall.messages import Message
from tokenfall.settings import Settings, load

from tests.doubles.loops import running_reactor
from tests.doubles.requests import request


class WiredServers:
    """Wires servers and stops them after the test."""

    def __init__(self) -> None:
        self.servers: list[Server] = []

    def server(self, **texts: str) -> Server:
        settings = load({name.upper(): text for name, text in texts.items()})
        self.servers.append(Server(settings, lambda _: None, reactor=running_reactor(), json_logs=False))
        return self.servers[-1]


@pytest.fixture
async def servers() -> AsyncIterator[WiredServers]:
    servers = WiredServers()
    yield servers
    for server in servers.servers:
        await server.stop()


def first_gap_s(server: Server, path: str, query: str = "") -> float:
    (stream,) = (route.handler for route in server.routes() if (route.method, route.path) == ("GET", path))
    assert isinstance(stream, PlainStream)
    stream_ = stream(request(f"{path}{query}"))
    assert isinstance(stream_, SteadyStream)
    return stream_.first_s


async def reply(server: Server, model: str) -> Finished:
    """Run a reply with this model and return its end."""
    chat = server.parts.chat_service()
    question = Question(conversation=Conversation("", "c"), message=Message("user", "Hi"), model=model, max_tokens=1)
    _, end = await chat.runner.complete_response(await chat.begin(question))
    return end


async def test_simulator_responds_without_an_upstream(servers: WiredServers) -> None:
    server = servers.server()

    assert (await reply(server, "any")).model == "sim"
    assert server.app.loopback_guard is None


async def test_model_name_selects_the_engine_with_an_upstream(servers: WiredServers) -> None:
    server = servers.server(upstream_url="http://127.0.0.1:9/v1")

    assert (await reply(server, "sim")).model == "sim"
    with pytest.raises(UpstreamUnreachable):
        await reply(server, "any")


@pytest.mark.parametrize(
    ("texts", "protected"),
    [({}, True), ({"api_key": "k"}, False), ({"host": "0.0.0.0", "allow_anonymous": "true"}, True)],
    ids=["loopback", "keyed", "anonymous"],
)
async def test_upstream_without_keys_accepts_only_loopback_pages(
    servers: WiredServers, texts: dict[str, str], protected: bool
) -> None:
    server = servers.server(groq_api_key="g", **texts)

    assert (server.app.loopback_guard is not None) is protected


async def test_other_host_names_are_accepted_only_on_other_addresses(servers: WiredServers) -> None:
    here = servers.server(groq_api_key="g").app.loopback_guard
    beyond = servers.server(groq_api_key="g", host="0.0.0.0", allow_anonymous="true").app.loopback_guard

    assert here is not None
    assert beyond is not None
    other_name = request(headers={"Host": "chat.example.org"})
    with pytest.raises(OriginNotAllowed):
        here.check(other_name)
    beyond.check(other_name)


@pytest.mark.parametrize(("rps", "limited"), [("10", True), ("0.1", True), ("0", False)])
async def test_rate_of_zero_disables_the_limit(servers: WiredServers, rps: str, limited: bool) -> None:
    assert (servers.server(rate_limit_rps=rps).app.throttle is not None) is limited


@pytest.mark.parametrize(
    ("texts", "sse_s", "loop_s"),
    [({}, 0.1, 0.2), ({"sim": "gap=50ms"}, 0.05, 0.05), ({"sim": "seed=7"}, 0.1, 0.2)],
    ids=["default", "set", "set without a gap"],
)
async def test_simulator_defaults_apply_to_its_streams(
    servers: WiredServers, texts: dict[str, str], sse_s: float, loop_s: float
) -> None:
    server = servers.server(**texts)

    assert first_gap_s(server, "/stream-sse") == pytest.approx(sse_s)
    assert first_gap_s(server, "/stream-ndjson") == pytest.approx(sse_s)
    assert first_gap_s(server, "/stream-loop") == pytest.approx(loop_s)
    assert first_gap_s(server, "/stream-loop", "?gap=7s") == 7.0


async def test_settings_reach_their_parts(servers: WiredServers) -> None:
    server = servers.server(
        header_timeout="1s",
        body_timeout="2s",
        idle_timeout="3s",
        stall_timeout="4s",
        max_head="5KiB",
        max_body="6KiB",
        max_connections="7",
        system_prompt="Be brief.",
        model="sim:gap=1ms",
        max_tokens="8",
        context_messages="9",
    )
    bounds, defaults = server.http.bounds, server.parts.chat_service().defaults

    assert (bounds.header_timeout_s, bounds.body_timeout_s, bounds.idle_timeout_s) == (1.0, 2.0, 3.0)
    assert (bounds.stall_timeout_s, bounds.max_head_bytes, bounds.max_body_bytes) == (4.0, 5 * 1024, 6 * 1024)
    assert (bounds.max_connections, server.http.max_connections) == (7, 7)
    assert (defaults.model, defaults.max_tokens, defaults.context_messages) == ("sim:gap=1ms", 8, 9)
    assert defaults.system is not None
    assert defaults.system.content == "Be brief."


async def test_stop_drains_and_flushes_the_access_log() -> None:
    written: list[str] = []
    server = Server(Settings(), written.append, reactor=running_reactor(), json_logs=False)
    incoming = request("/nowhere")
    server.app.ended(incoming, 404, outcome="complete", sent_bytes=0)
    await server.stop()

    assert server.app.draining
    assert len(written) == 1


async def test_server_works_without_an_access_log() -> None:
    server = Server(Settings(), None, reactor=running_reactor(), json_logs=False)
    server.app.ended(request("/nowhere"), 404, outcome="complete", sent_bytes=0)
    await server.stop()

    assert server.metrics.requests == {("", 404): 1}
