"""`tokenfall serve`: runs a server until a signal says to stop. It owns the signals and the standard streams."""

import asyncio
import logging
import signal
import sys

from tokenfall.bootstrap import Server
from tokenfall.logs import set_up
from tokenfall.settings import Settings

FAILURE = 1
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

_log = logging.getLogger("tokenfall")


def serve(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT, then drain; a second signal ends at once. The exit status."""
    as_json = set_up(settings.log_level, settings.log_format)
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            return runner.run(_serve(settings, json_logs=as_json))
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def loop_factory() -> "type[asyncio.AbstractEventLoop] | None":
    """uvloop's loop where it is installed, else asyncio's own."""
    try:
        import uvloop  # noqa: PLC0415 - it does not install everywhere
    except ImportError:
        return None
    return uvloop.Loop


async def _serve(settings: Settings, *, json_logs: bool) -> int:
    access = sys.stderr.write if _log.isEnabledFor(logging.INFO) else None
    server = Server(settings, access, json_logs=json_logs)
    try:
        addresses = await server.start()
    except OSError as error:
        print(
            f"tokenfall: HOST, PORT: cannot listen on {settings.host}:{settings.port}: {error}",
            file=sys.stderr,
        )
        return FAILURE
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, _on_signal, stop)
    print(greeting(f"http://{_named(*addresses[0])}", keyed=bool(settings.api_key)), flush=True)
    await stop.wait()
    _log.info("draining for up to %g s", settings.drain_timeout)
    await server.stop()
    _log.info("stopped")
    return 0


def _on_signal(stop: asyncio.Event) -> None:
    if stop.is_set():
        raise KeyboardInterrupt
    stop.set()


def _named(host: str, port: int) -> str:
    if host in ("0.0.0.0", "::"):  # noqa: S104 - read, not listened on
        host = "127.0.0.1"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def greeting(base: str, *, keyed: bool) -> str:
    """What a person needs to know first."""
    key = ' -H "X-API-Key: $API_KEY"' if keyed else ""
    return (
        f"Tokenfall listens on {base}\n"
        f"  the chat page:  {base}/web\n"
        f"  try:  curl -N{key} {base}/stream-sse\n"
        f"        curl -N{key} '{base}/stream-ndjson?gap=20ms'\n"
        f'        curl -N{key} {base}/chat -d \'{{"messages":[{{"role":"user","content":"Hello"}}]}}\''
    )
