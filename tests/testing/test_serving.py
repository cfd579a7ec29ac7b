"""Servers in a thread and in a process have the same interface and leak nothing."""

import asyncio
import gc
import logging
import os
import resource
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import Any

import httpx
import pytest

from tokenfall.settings import InvalidSetting
from tokenfall.testing import ControlRefused, ServerGone, TokenfallServer, serve
from tokenfall.testing.serving import start
from tokenfall.testing.threads import ThreadHost

CHAT_BODY = {"model": "sim", "messages": [{"role": "user", "content": "Hello"}]}
STARTED_S = 1.0
STOPPED_S = 5.0


@pytest.fixture(scope="module", params=[False, True], ids=["thread", "process"])
def running(request: pytest.FixtureRequest) -> Iterator[TokenfallServer]:
    with serve(process=request.param) as server:
        yield server


@pytest.fixture
def server(running: TokenfallServer) -> Iterator[TokenfallServer]:
    yield running
    running.reset()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def read(server: TokenfallServer, sim: str) -> str:
    return httpx.get(f"{server.url}/stream-sse", headers={"x-sim": sim}).text


def test_each_client_has_its_address(server: TokenfallServer) -> None:
    assert server.url == f"http://127.0.0.1:{server.port}"
    assert httpx.post(f"{server.openai_url}/chat/completions", json=CHAT_BODY).json()["object"] == "chat.completion"
    assert httpx.post(f"{server.groq_url}/openai/v1/chat/completions", json=CHAT_BODY).json()["x_groq"]
    body = {**CHAT_BODY, "max_tokens": 5}
    assert httpx.post(f"{server.anthropic_url}/v1/messages", json=body).json()["type"] == "message"
    assert httpx.post(f"{server.ollama_url}/api/chat", json={**CHAT_BODY, "stream": False}).json()["done"]


def test_settings_last_until_the_reset(server: TokenfallServer) -> None:
    before = server.sim
    server.set("tokens=2,seed=7")
    server.set("status=418x1")
    assert "seed=7" in server.sim
    assert [httpx.get(f"{server.url}/stream-sse").status_code for _ in range(2)] == [418, 200]
    server.reset()
    assert server.sim == before


def test_reset_clears_the_counts_of_injected_errors(server: TokenfallServer) -> None:
    for _ in range(2):
        server.set("status=418x1")
        assert httpx.get(f"{server.url}/stream-sse").status_code == 418
        server.reset()


def test_invalid_setting_raises_with_the_servers_message(server: TokenfallServer) -> None:
    with pytest.raises(ControlRefused, match="gap got 'fast', takes a duration"):
        server.set("gap=fast")
    with pytest.raises(ControlRefused, match="a gate's name takes"):
        server.gate("a%20b").open()


def test_gate_passes_the_given_number_of_tokens(server: TokenfallServer) -> None:
    gate = server.gate("door")
    assert (gate.waiting, gate.passed) == (0, 0)
    with ThreadPoolExecutor() as pool:
        reading = pool.submit(read, server, "gap=1ms,tokens=6,gate=door")
        gate.wait_until_waiting()
        assert server.streams_in_flight == 1
        gate.allow(2)
        gate.wait_until_waiting()
        assert gate.passed == 2
        gate.open()
        assert reading.result().count("data:") == 7
    server.wait_until_idle()
    gate.close()
    with pytest.raises(TimeoutError, match=r"waited 0\.02 s for 2 waiting at the gate door; got 0"):
        gate.wait_until_waiting(2, within_s=0.02)


def test_deleted_gate_is_removed(server: TokenfallServer) -> None:
    gate = server.gate("door")
    with pytest.raises(ControlRefused, match="there is no such gate"):
        gate.forget()
    with ThreadPoolExecutor() as pool:
        reading = pool.submit(read, server, "gap=1ms,tokens=1,gate=door")
        gate.wait_until_waiting()
        gate.forget()
        assert reading.result()
    assert gate.passed == 0


def test_reset_releases_streams_at_a_gate(server: TokenfallServer) -> None:
    with ThreadPoolExecutor() as pool:
        reading = pool.submit(read, server, "gap=1ms,tokens=1,gate=door")
        server.gate("door").wait_until_waiting()
        server.reset()
        assert reading.result()


def test_request_log_has_the_requests_without_the_key(server: TokenfallServer) -> None:
    with pytest.raises(RuntimeError, match="the request log is off"):
        server.requests()
    server.journal()
    httpx.post(
        f"{server.openai_url}/chat/completions?a=b", json=CHAT_BODY, headers={"authorization": "Bearer my-secret"}
    )
    (seen,) = server.wait_for_requests()
    assert (seen.method, seen.path, seen.query, seen.json()) == ("POST", "/v1/chat/completions", "a=b", CHAT_BODY)
    assert "my-secret" not in repr(seen)
    server.forget_requests()
    assert server.requests() == []
    with pytest.raises(TimeoutError, match=r"waited 0\.02 s for 1 logged requests"):
        server.wait_for_requests(within_s=0.02)
    server.journal(on=False)
    httpx.get(f"{server.url}/stream-sse")
    with pytest.raises(RuntimeError, match="the request log is off"):
        server.requests()


def test_wait_for_requests_returns_at_the_given_number(server: TokenfallServer) -> None:
    server.journal()
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(server.wait_for_requests, 2)
        read(server, "tokens=1")
        read(server, "tokens=1")
        assert [seen.path for seen in waiting.result()] == ["/stream-sse"] * 2


def test_metrics_count_since_the_reset(server: TokenfallServer) -> None:
    read(server, "tokens=4,gap=1ms")
    server.reset()
    assert server.metric("tokenfall_tokens_total") == 0
    read(server, "tokens=3,gap=1ms")
    assert server.metric("tokenfall_tokens_total") >= 3
    assert server.metric("tokenfall_requests_total", route="/stream-sse", status="200") == 1
    assert server.metric("tokenfall_streams_in_flight") == 0
    with pytest.raises(KeyError, match="no metric is named tokenfall_nonsense; there are tokenfall_"):
        server.metric("tokenfall_nonsense")


def test_reset_deletes_conversations(server: TokenfallServer) -> None:
    body = {"messages": CHAT_BODY["messages"], "conversation": "a b/c", "stream": False, "max_tokens": 2}
    assert httpx.post(f"{server.url}/chat", json=body).status_code in (200, 400)
    body["conversation"] = "mine"
    assert httpx.post(f"{server.url}/chat", json=body).status_code == 200
    server.reset()
    assert httpx.get(f"{server.url}/conversations").json() == []


def test_coroutine_can_wait_in_a_thread(server: TokenfallServer) -> None:
    async def both() -> int:
        async with httpx.AsyncClient() as client:
            body = asyncio.create_task(client.get(f"{server.url}/stream-sse?gate=door&tokens=1"))
            await asyncio.to_thread(server.gate("door").wait_until_waiting)
            server.gate("door").open()
            return (await body).status_code

    assert asyncio.run(both()) == 200


# Settings


@pytest.mark.parametrize("process", [False, True], ids=["thread", "process"])
def test_server_ignores_the_environment_and_dotenv(
    process: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("SIM=seed=1\nAPI_KEY=from-a-file\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIM", "seed=2")
    monkeypatch.setenv("API_KEY", "from-outside")
    monkeypatch.setenv("RATE_LIMIT_RPS", "1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with serve(process=process) as server:
        assert server.sim == "gap=0.001s"


@pytest.mark.parametrize("process", [False, True], ids=["thread", "process"])
def test_settings_apply_and_control_requests_send_the_key(process: bool) -> None:
    settings: Any = {"api_key": ["k1", "k2"], "rate_limit_rps": 3, "cors_origins": None, "sim": "ttft=2ms"}
    with serve(process=process, **settings) as server:
        assert server.sim == "gap=0.001s,ttft=0.002s"
        assert httpx.get(f"{server.url}/history").status_code == 401
        answered = httpx.get(f"{server.url}/history", headers={"authorization": "Bearer k2"})
        assert answered.headers["ratelimit-policy"]


@pytest.mark.parametrize("sim", ["gap=5ms", "tps=200"])
def test_configured_gap_is_used(sim: str) -> None:
    with serve(sim=sim) as server:
        assert server.sim == "gap=0.005s"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sim": "gap=fast"}, "sim: got 'gap=.*', takes"),
        ({"simm": "gap=1ms"}, "simm: no such setting; there are host, port"),
        ({"max_tokens": "many"}, "max_tokens: got 'many', takes"),
        ({"workers": 2, "history_url": "sqlite:///x.db"}, "workers: got 2, takes 1 in a thread"),
        ({"api_key": f"sha256:{'0' * 64}"}, "api_key: got only digests"),
    ],
)
def test_invalid_setting_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSetting, match=message), serve(**settings):
        pass


@pytest.mark.parametrize("process", [False, True], ids=["thread", "process"])
def test_occupied_port_is_an_error(process: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"{port}|in use"), serve(process=process, port=port):
            pass


@pytest.mark.parametrize("process", [False, True], ids=["thread", "process"])
def test_server_starts_and_stops_in_time(process: bool) -> None:
    with serve(process=process):  # warms imports and page caches
        pass
    began_s = perf_counter()
    with serve(process=process):
        pass
    assert perf_counter() - began_s < STARTED_S


# Clean-up


def process_state() -> dict[str, object]:
    return {
        "thresholds": gc.get_threshold(),
        "frozen": gc.get_freeze_count(),
        "limit": resource.getrlimit(resource.RLIMIT_NOFILE),
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)],
        "wakeup": signal.set_wakeup_fd(-1),
        "handlers": (logging.root.handlers[:], logging.getLogger("tokenfall").handlers[:]),
        "level": logging.getLogger("tokenfall").level,
    }


@pytest.fixture
def low_limit() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_process_state_is_unchanged_after_the_server(low_limit: None) -> None:
    before = process_state()
    with serve() as server:
        assert server.pid is None
        read(server, "tokens=1")
        assert process_state() == before
    assert process_state() == before


@pytest.mark.parametrize("process", [False, True], ids=["thread", "process"])
def test_no_thread_socket_or_child_leaks(process: bool) -> None:
    with serve(process=process) as server:
        read(server, "tokens=1")
    before = descriptors(), set(threading.enumerate())
    for _ in range(3):
        with serve(process=process) as server:
            with httpx.stream("GET", f"{server.url}/stream-loop"):
                pass
            read(server, "tokens=1")
    assert (descriptors(), set(threading.enumerate())) == before
    assert not server.is_running
    with pytest.raises(ServerGone):
        server.reset()


@pytest.mark.parametrize("process", [False, True], ids=["thread", "process"])
def test_running_stream_is_ended_after_the_drain_time(process: bool) -> None:
    with httpx.Client() as client:
        with serve(process=process) as server:
            began_s = perf_counter()
            response = client.send(client.build_request("GET", f"{server.url}/stream-loop"), stream=True)
        assert not server.is_running  # including the drain time of the stream
        assert perf_counter() - began_s < STOPPED_S
        assert "shutting_down" in response.read().decode()


def test_killed_process_raises_server_gone_at_the_next_use() -> None:
    with serve(process=True) as server:
        assert server.pid
        os.kill(server.pid, signal.SIGKILL)
        os.waitid(os.P_PID, server.pid, os.WEXITED | os.WNOWAIT)
        for call in (server.reset, server.requests, lambda: server.gate("door").waiting):
            with pytest.raises(ServerGone, match="server is not running: its process has ended: killed by signal 9"):
                call()


def test_failed_thread_raises_server_gone_at_the_next_use() -> None:
    host = start({}, process=False)
    assert isinstance(host, ThreadHost)

    def fail() -> None:
        raise SystemExit("as if by itself")

    (thread,) = (each for each in threading.enumerate() if each.name == "tokenfall")
    host.reactor.call_soon_threadsafe(fail)
    thread.join()
    with pytest.raises(ServerGone, match="its thread failed"):
        TokenfallServer(host).reset()
    host.stop()


def test_unresponsive_server_raises_server_gone() -> None:
    class UnreachableHost:
        """A host whose server address has no listener."""

        def __init__(self, of: ThreadHost, port: int) -> None:
            self.address = of.address._replace(port=port)
            self.exit_reason: Callable[[], str | None] = of.exit_reason
            self.stop = of.stop
            self.pid = None

    host = start({}, process=False)
    assert isinstance(host, ThreadHost)
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # bound but not listening
        with pytest.raises(ServerGone, match="it does not respond"):
            TokenfallServer(UnreachableHost(host, bound.getsockname()[1])).reset()
    host.stop()
