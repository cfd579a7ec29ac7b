"""`tokenfall record`: relays until a signal says to stop, and keeps what it relayed."""

import asyncio
import logging
import sys
from argparse import Namespace
from collections.abc import Mapping

from aiohttp import web

from tokenfall.engines.recorder import NAMES_OF_LOOPBACK, Keeper, Recorder
from tokenfall.engines.recordings import FILE_ENDING
from tokenfall.reactor.signals import stop_signals

FAILURE = 1
USAGE_ERROR = 2
DRAIN_S = 1.0
"""How long streams under way may still take after the signal."""


def record(arguments: Namespace, environment: Mapping[str, str | None]) -> int:
    """Relay until a signal to stop; the exit status."""
    mistake = _mistake(arguments, environment)
    if mistake:
        print(f"tokenfall: {mistake}", file=sys.stderr)
        return USAGE_ERROR
    logging.basicConfig(format="tokenfall: %(message)s", level=logging.WARNING)
    try:
        keeper = Keeper(arguments.out)
    except OSError as error:
        print(f"tokenfall: --out: cannot write {arguments.out}: {error.strerror}", file=sys.stderr)
        return FAILURE
    key = environment.get(arguments.key_env) if arguments.key_env else None
    return asyncio.run(_relay(arguments, Recorder(arguments.upstream, keeper, key=key), keeper=keeper))


def _mistake(arguments: Namespace, environment: Mapping[str, str | None]) -> str:
    """What is wrong with the command line, "" for nothing."""
    scheme, _, rest = arguments.upstream.partition("://")
    if scheme not in ("http", "https") or not rest.partition("/")[0] or set(rest) & set("@?# "):
        return "--upstream: takes a base address such as https://api.groq.com/openai/v1, without key, query and spaces"
    if not arguments.out.endswith(FILE_ENDING):
        return f"--out: got {arguments.out!r}, takes a file that ends in {FILE_ENDING}, as script= knows it by that"
    if arguments.key_env and not environment.get(arguments.key_env):
        return f"--key-env: {arguments.key_env} is not set"
    if arguments.key_env and arguments.host not in NAMES_OF_LOOPBACK:
        return f"--host: with --key-env only {', '.join(NAMES_OF_LOOPBACK)}: who reaches it asks with your key"
    return ""


async def _relay(arguments: Namespace, recorder: Recorder, *, keeper: Keeper) -> int:
    stop = asyncio.Event()
    for number in stop_signals():
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.AppRunner(recorder.application(), access_log=None, handler_cancellation=True, shutdown_timeout=DRAIN_S)
    status = 0
    try:
        await runner.setup()
        await web.TCPSite(runner, arguments.host, arguments.port).start()
        host, port = runner.addresses[0][:2]
        shown = f"[{host}]" if ":" in host else host
        print(f"Tokenfall records on http://{shown}:{port} into {arguments.out}; Ctrl-C ends it", flush=True)
        await stop.wait()
    except OSError as error:
        print(f"tokenfall: cannot listen on {arguments.host}:{arguments.port}: {error}", file=sys.stderr)
        status = FAILURE
    finally:
        await runner.cleanup()
        keeper.close()
    print(f"{keeper.kept} exchanges kept, {keeper.lost} lost", flush=True)
    return status or (FAILURE if keeper.lost else 0)
