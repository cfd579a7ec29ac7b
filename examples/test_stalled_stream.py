"""Does our code notice a stream that stands still? Once by the clock, and once by a gate, without one."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tokenfall.testing import TokenfallServer


def words(server: TokenfallServer, heard: list[str], *, patience_s: float) -> None:
    """The code under test: reads a stream and keeps what it hears."""
    with httpx.stream("GET", f"{server.url}/stream-loop", timeout=patience_s) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: "):
                heard.append(line.removeprefix("data: "))
            if len(heard) == 5:
                return


@pytest.mark.tokenfall(sim="gap=1ms,fault=stall@3:30s")
def test_a_reader_gives_up_on_a_stream_that_stalls(tokenfall_server: TokenfallServer) -> None:
    heard: list[str] = []

    with pytest.raises(httpx.ReadTimeout):
        words(tokenfall_server, heard, patience_s=0.3)

    assert len(heard) == 3
    tokenfall_server.wait_until_idle()  # the server has seen that its reader left


def test_what_came_before_the_stall_is_shown_already(tokenfall_server: TokenfallServer) -> None:
    tokenfall_server.set("gap=1ms,gate=pause@3")
    pause = tokenfall_server.gate("pause")
    heard: list[str] = []

    with ThreadPoolExecutor() as pool:
        reading = pool.submit(words, tokenfall_server, heard, patience_s=5)
        pause.wait_until_waiting(1)
        assert not reading.done()
        pause.allow(1)  # one token more, then it waits again
        pause.wait_until_waiting(1)
        pause.open()
        reading.result()

    assert len(heard) == 5
