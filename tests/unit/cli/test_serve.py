import asyncio
import signal
from typing import Any

import pytest

from tokenfall.cli import serve
from tokenfall.cli.serve import STOP_SIGNALS, greeting, loop_factory


def test_the_greeting_says_what_to_try_first() -> None:
    assert greeting("http://127.0.0.1:8080", keyed=False) == (
        "Tokenfall listens on http://127.0.0.1:8080\n"
        "  the chat page:  http://127.0.0.1:8080/web\n"
        "  try:  curl -N http://127.0.0.1:8080/stream-sse\n"
        "        curl -N 'http://127.0.0.1:8080/stream-ndjson?gap=20ms'\n"
        '        curl -N http://127.0.0.1:8080/chat -d \'{"messages":[{"role":"user","content":"Hello"}]}\''
    )


def test_where_a_key_is_asked_for_the_greeting_shows_how_but_not_which() -> None:
    lines = greeting("http://127.0.0.1:8080", keyed=True).splitlines()

    assert all('-H "X-API-Key: $API_KEY"' in line for line in lines if "curl" in line)


@pytest.mark.parametrize(
    ("address", "named"),
    [
        (("127.0.0.1", 80), "127.0.0.1:80"),
        (("0.0.0.0", 80), "127.0.0.1:80"),
        (("::", 80), "127.0.0.1:80"),
        (("::1", 80), "[::1]:80"),
    ],
)
def test_an_address_is_named_so_that_a_browser_takes_it(address: tuple[str, int], named: str) -> None:
    assert serve._named(*address) == named


def test_uvloop_is_used_where_it_is_installed() -> None:
    uvloop: Any = pytest.importorskip("uvloop")

    assert loop_factory() is uvloop.Loop


def test_without_uvloop_asyncio_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "uvloop", None)

    assert loop_factory() is None


def test_the_signals_that_stop() -> None:
    assert set(STOP_SIGNALS) == {signal.SIGTERM, signal.SIGINT}


async def test_one_signal_stops_and_a_second_ends_at_once() -> None:
    stop = asyncio.Event()
    serve._on_signal(stop)
    assert stop.is_set()
    with pytest.raises(KeyboardInterrupt):
        serve._on_signal(stop)
