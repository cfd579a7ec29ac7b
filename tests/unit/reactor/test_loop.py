from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from tokenfall.reactor import loop as loops
from tokenfall.reactor.loop import MAX_DEFERRALS, MAX_URGENT, MAX_WAIT_S, OVERSLEPT_S, Reactor
from tokenfall.reactor.poller import WRITE

from tests.doubles.descriptors import open_descriptors
from tests.unit.reactor.conftest import Until

if TYPE_CHECKING:
    from tokenfall.reactor.poller import Events


class Reader:
    """Reads all available bytes."""

    urgent = False

    def __init__(self, reactor: Reactor, fd: int) -> None:
        self.fd = fd
        self.read = b""
        self.received = asyncio.Event()
        reactor.add(fd, self)

    def ready(self, mask: int) -> None:
        self.read += os.read(self.fd, 100)
        self.received.set()


class Handler:
    """Passes each mask to `ready`."""

    urgent = False

    def __init__(self, ready: Callable[[int], object]) -> None:
        self._ready = ready

    def ready(self, mask: int) -> None:
        self._ready(mask)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for fd in (reader, writer):
        os.close(fd)


def test_handler_of_a_ready_descriptor_is_called(reactor: Reactor, pipe: tuple[int, int], until: Until) -> None:
    reader = Reader(reactor, pipe[0])
    os.write(pipe[1], b"hello")
    until(lambda: reader.read)
    reactor.remove(pipe[0])

    assert reader.read == b"hello"


def test_handler_removed_in_the_same_turn_is_not_called(reactor: Reactor, until: Until) -> None:
    pipes = [os.pipe() for _ in range(2)]
    called: list[int] = []

    def remove_both(mask: int) -> None:
        called.append(mask)
        for reader, _ in pipes:
            reactor.remove(reader)

    for reader, writer in pipes:
        os.write(writer, b"x")
        reactor.add(reader, Handler(remove_both))
    reactor.turn(0.1)
    for fds in pipes:
        for fd in fds:
            os.close(fd)

    assert len(called) == 1


def test_change_replaces_the_mask(reactor: Reactor, pipe: tuple[int, int], until: Until) -> None:
    masks: list[int] = []
    reactor.add(pipe[1], Handler(masks.append))
    reactor.turn(0.0)
    assert masks == []
    reactor.change(pipe[1], WRITE)
    until(lambda: masks)
    reactor.remove(pipe[1])

    assert masks[0] == WRITE


def test_exception_of_a_handler_is_logged_and_the_loop_continues(
    reactor: Reactor, pipe: tuple[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    called: list[int] = []
    reactor.add(pipe[0], Handler(lambda _: 1 // 0))
    os.write(pipe[1], b"x")
    with caplog.at_level(logging.ERROR):
        reactor.call_soon(lambda: 1 // 0)
        reactor.call_soon(lambda: called.append(1))
        reactor.turn(0.1)
    reactor.remove(pipe[0])

    assert [record.exc_info is not None for record in caplog.records] == [True, True]
    assert called == [1]


def test_call_soon_is_fifo_and_nested_calls_run_in_the_next_turn(reactor: Reactor) -> None:
    called: list[str] = []

    def first() -> None:
        called.append("first")
        reactor.call_soon(lambda: called.append("third"))

    reactor.call_soon(first)
    reactor.call_soon(lambda: called.append("second"))
    reactor.turn()
    assert called == ["first", "second"]
    reactor.turn(0.0)

    assert called == ["first", "second", "third"]


@pytest.mark.parametrize("under_asyncio", [False, True])
def test_call_before_wait_runs_after_everything_that_is_ready(reactor: Reactor, *, under_asyncio: bool) -> None:
    called: list[str] = []

    async def task() -> None:
        called.append("task")
        reactor.call_before_wait(lambda: called.append("before the wait"))
        await asyncio.sleep(0)
        called.append("task again")

    def call() -> None:
        called.append("call")
        reactor.call_before_wait(lambda: called.append("before the wait"))
        reactor.call_soon(reactor.stop)

    if under_asyncio:
        _ = reactor.spawn(task())
        reactor.call_at(reactor.wheel.now() + 0.01, reactor.stop)
    else:
        reactor.call_soon(call)
    reactor.run()

    assert called == (["task", "before the wait", "task again"] if under_asyncio else ["call", "before the wait"])


def test_call_at_calls_once_not_before_its_deadline(reactor: Reactor, until: Until) -> None:
    called: list[float] = []
    deadline_s = reactor.wheel.now() + 0.003
    reactor.call_at(deadline_s, lambda: called.append(reactor.wheel.now()))
    until(lambda: called)
    reactor.turn(0.0)

    assert len(called) == 1
    assert called[0] >= deadline_s


def test_deadline_weeks_away_does_not_overflow_the_pollers_timeout(
    reactor: Reactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float | None] = []

    class Noting:
        def wait(self, timeout_s: float | None) -> Events:
            waits.append(timeout_s)
            return ()

    reactor.call_at(reactor.wheel.now() + 1e9, lambda: None)
    with monkeypatch.context() as patched:
        patched.setattr(reactor, "poller", Noting())
        reactor.turn()

    assert waits == [MAX_WAIT_S]
    reactor.poller.wait(0.0)


def test_stop_before_the_asyncio_loop_runs_does_not_stop_its_next_run(reactor: Reactor) -> None:
    ended: list[str] = []

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("ended")

    async def one_pass() -> None:
        await asyncio.sleep(0)
        reactor.stop()

    tasks = [reactor.spawn(forever()), reactor.spawn(one_pass())]
    reactor.stop()
    reactor.run()
    reactor.close()

    assert ended == ["ended"]
    assert all(task.done() for task in tasks)


def test_call_from_another_thread_ends_a_wait(reactor: Reactor) -> None:
    reactor.enable_wakeups()
    thread = threading.Thread(target=lambda: reactor.call_soon_threadsafe(reactor.stop))
    reactor.call_soon(thread.start)
    reactor.run()  # without a deadline: only the other thread can end it
    thread.join()


def test_wake_up_after_close_is_harmless() -> None:
    reactor = Reactor()
    reactor.enable_wakeups()
    reactor.close()

    reactor.call_soon_threadsafe(lambda: None)


def test_full_wake_up_pipe_still_wakes_the_loop(reactor: Reactor) -> None:
    called: list[int] = []
    reactor.enable_wakeups()
    for _ in range(70_000):
        reactor.call_soon_threadsafe(lambda: called.append(1))
    reactor.turn()

    assert len(called) == 70_000


def test_signal_is_reported_in_a_turn_of_the_loop(reactor: Reactor) -> None:
    numbers: list[int] = []

    def received(number: int) -> None:
        numbers.append(number)
        reactor.stop()

    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        reactor.enable_wakeups(received)
        reactor.call_soon(lambda: os.kill(os.getpid(), signal.SIGUSR1))
        reactor.run()
    finally:
        reactor.close()
        signal.signal(signal.SIGUSR1, before)

    assert numbers == [signal.SIGUSR1]


def test_measured_load_adapts_the_wheel(reactor: Reactor, monkeypatch: pytest.MonkeyPatch, until: Until) -> None:
    shares: list[float] = []
    monkeypatch.setattr(type(reactor.wheel), "adapt", lambda _, share: shares.append(share))
    monkeypatch.setattr(loops, "OVERSLEPT_S", 60.0)  # other processes may use the processor
    until(lambda: shares)

    assert shares[0] < 0.5, "the loop only waited"


def test_oversleeping_loop_counts_as_saturated(reactor: Reactor, monkeypatch: pytest.MonkeyPatch, until: Until) -> None:
    shares: list[float] = []
    wait = reactor.poller.wait

    class Throttled:
        """A poller whose waits last longer than requested, as under a processor quota."""

        def wait(self, timeout_s: float | None) -> Events:
            time.sleep(2 * OVERSLEPT_S)
            return wait(timeout_s)

    monkeypatch.setattr(reactor, "poller", Throttled())
    monkeypatch.setattr(type(reactor.wheel), "adapt", lambda _, share: shares.append(share))
    until(lambda: shares)
    monkeypatch.undo()

    assert shares == [1.0]


# Coroutines


def test_asyncio_is_not_imported_before_the_first_coroutine() -> None:
    program = (
        "import sys\n"
        "from tokenfall.reactor.loop import Reactor\n"
        "reactor = Reactor()\n"
        "reactor.call_at(reactor.wheel.now() + 0.001, reactor.stop)\n"
        "reactor.run()\n"
        "assert 'asyncio' not in sys.modules and 'logging' not in sys.modules\n"
        "async def one(): reactor.stop()\n"
        "reactor.spawn(one())\n"
        "reactor.run()\n"
        "reactor.close()\n"
        "assert 'asyncio' in sys.modules\n"
    )
    import subprocess  # noqa: PLC0415 - runs in another interpreter

    subprocess.run([sys.executable, "-c", program], check=True, timeout=20)


def test_coroutine_shares_the_loop_with_descriptors_and_deadlines(reactor: Reactor, pipe: tuple[int, int]) -> None:
    results: list[str] = []
    reader = Reader(reactor, pipe[0])

    async def work() -> None:
        future = asyncio.get_running_loop().create_future()
        reactor.call_at(reactor.wheel.now() + 0.002, lambda: future.set_result("by the wheel"))
        results.append(await future)
        await asyncio.sleep(0.002)
        os.write(pipe[1], b"x")
        await asyncio.wait_for(reader.received.wait(), 5)
        results.append("by a descriptor")
        results.append(await asyncio.to_thread(lambda: "by a thread"))
        reactor.stop()

    reactor.call_soon(lambda: reactor.spawn(work()))
    reactor.run()
    reactor.remove(pipe[0])

    assert results == ["by the wheel", "by a descriptor", "by a thread"]


def test_asyncio_streams_work_over_the_reactor(reactor: Reactor) -> None:
    echoed: list[bytes] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(100_000))
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def talk() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"x" * 50_000)
        writer.write_eof()
        echoed.append(await reader.read(-1))
        writer.close()
        await writer.wait_closed()
        server.close()
        reactor.stop()

    task = reactor.spawn(talk())
    reactor.run()

    assert task.done()
    assert 0 < len(echoed[0]) <= 50_000


def test_close_cancels_the_tasks_that_still_run(reactor: Reactor) -> None:
    ended: list[str] = []

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    task = reactor.spawn(forever())
    reactor.call_at(reactor.wheel.now() + 0.002, reactor.stop)
    reactor.run()
    reactor.close()

    assert ended == ["cancelled"]
    assert task.cancelled()


def test_run_after_a_stop_continues_the_same_tasks(reactor: Reactor) -> None:
    steps: list[int] = []

    async def twice() -> None:
        steps.append(1)
        reactor.stop()
        await asyncio.sleep(0.001)
        steps.append(2)
        reactor.stop()

    task = reactor.spawn(twice())
    reactor.run()
    assert steps == [1]
    reactor.run()

    assert steps == [1, 2]
    assert task.done()


def test_handler_is_removed_if_the_poller_refuses_its_descriptor(
    reactor: Reactor, pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def register(self, fd: int, mask: int) -> None:
            raise OSError(28, "No space left on device")

        def wait(self, timeout_s: float | None) -> Events:
            return [(pipe[0], 1)]

    called: list[int] = []
    reactor.add(pipe[1], Handler(called.append), mask=0)
    with monkeypatch.context() as patch:
        patch.setattr(reactor, "poller", Full())
        with pytest.raises(OSError, match="No space"):
            reactor.add(pipe[0], Handler(called.append))
        reactor.turn()
    reactor.remove(pipe[1])

    assert called == []


def test_failed_enable_wakeups_leaks_no_descriptor(reactor: Reactor) -> None:
    before = open_descriptors()
    raised: list[BaseException] = []

    def enable() -> None:
        try:
            reactor.enable_wakeups(lambda number: None)
        except ValueError as error:
            raised.append(error)

    thread = threading.Thread(target=enable)
    thread.start()
    thread.join()

    assert len(raised) == 1, "only the main thread gets signals"
    assert open_descriptors() <= before


def test_wakeup_pipe_is_closed_if_the_poller_refuses_it(reactor: Reactor, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int, handler: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(reactor, "add", refuse)
    before = open_descriptors()
    with pytest.raises(OSError, match="No space"):
        reactor.enable_wakeups()

    assert open_descriptors() <= before


class Urgent(Handler):
    """Handled before the others."""

    urgent = True


def turns_with(reactor: Reactor, *, urgent: int, others: int, turns: int) -> list[list[str]]:
    """The sorted events handled in each of `turns` turns if all descriptors stay ready."""
    notes: list[str] = []
    readers: list[int] = []
    writers: list[int] = []
    for number in range(urgent + others):
        reader, writer = os.pipe()
        readers.append(reader)
        writers.append(writer)
        os.write(writer, b"x")
        handler = (
            Urgent(lambda _: notes.append("urgent")) if number < urgent else Handler(lambda _: notes.append("other"))
        )
        reactor.add(reader, handler)
    handled: list[list[str]] = []
    for _ in range(turns):
        notes.clear()
        reactor.turn(0.0)
        handled.append(sorted(notes))
    for reader in readers:
        reactor.remove(reader)
        os.close(reader)
    for writer in writers:
        os.close(writer)
    return handled


def test_urgent_events_are_handled_before_others_for_a_bounded_number_of_turns(reactor: Reactor) -> None:
    handled = turns_with(reactor, urgent=2, others=3, turns=2 * (MAX_DEFERRALS + 1))

    assert handled == 2 * [*[["urgent"] * 2] * MAX_DEFERRALS, [*["other"] * 3, *["urgent"] * 2]]


def test_number_of_urgent_events_per_turn_is_bounded(reactor: Reactor) -> None:
    handled = turns_with(reactor, urgent=MAX_URGENT + 2, others=1, turns=MAX_DEFERRALS + 1)

    assert list(map(len, handled)) == [*[MAX_URGENT] * MAX_DEFERRALS, MAX_URGENT + 3]


@pytest.mark.parametrize("urgent", [0, 3])
def test_events_of_one_urgency_are_handled_in_one_turn(reactor: Reactor, urgent: int) -> None:
    kind = "urgent" if urgent else "other"

    assert turns_with(reactor, urgent=urgent, others=3 - urgent, turns=2) == [[kind] * 3] * 2
