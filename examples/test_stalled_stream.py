"""A client and a stalled stream: one test uses a fault and a timeout, the other a gate without any wait."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tokenfall.testing import TokenfallServer


def words(server: TokenfallServer, received: list[str], *, timeout_s: float) -> None:
    """The code under test: reads five words of a stream into `received`."""
    with httpx.stream("GET", f"{server.url}/stream-loop", timeout=timeout_s) as response:
        for line in response.iter_lines():
            if line.startswith("data: "):
                received.append(line.removeprefix("data: "))
            if len(received) == 5:
                return


@pytest.mark.tokenfall(sim="gap=1ms,fault=stall@3:30s")
def test_client_times_out_on_a_stalled_stream(tokenfall_server: TokenfallServer) -> None:
    received: list[str] = []

    with pytest.raises(httpx.ReadTimeout):
        words(tokenfall_server, received, timeout_s=0.3)

    assert len(received) == 3
    tokenfall_server.wait_until_idle()  # the server has detected the disconnect


def test_tokens_before_a_pause_are_received(tokenfall_server: TokenfallServer) -> None:
    tokenfall_server.set("gap=1ms,gate=pause@3")
    pause = tokenfall_server.gate("pause")
    received: list[str] = []

    with ThreadPoolExecutor() as pool:
        reading = pool.submit(words, tokenfall_server, received, timeout_s=5)
        pause.wait_until_waiting(1)
        assert not reading.done()
        pause.allow(1)  # one more token, then the stream waits again
        pause.wait_until_waiting(1)
        pause.open()
        reading.result()

    assert len(received) == 5
