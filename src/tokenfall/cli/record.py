"""`tokenfall record`: relays until a signal says to stop, and keeps what it relayed."""

import sys
from argparse import Namespace
from collections.abc import Mapping

from tokenfall import logs
from tokenfall.http.bounds import Bounds
from tokenfall.http.server import HTTPServer
from tokenfall.metrics import Metrics
from tokenfall.reactor.loop import Reactor
from tokenfall.reactor.signals import stop_signals, watch
from tokenfall.recording.keeper import Keeper
from tokenfall.recording.recorder import LOOPBACK_NAMES, MAX_REQUEST_BYTES, Recorder
from tokenfall.recording.recordings import FILE_ENDING
from tokenfall.upstream.address import Address, parse_address
from tokenfall.upstream.client import HTTPClient
from tokenfall.upstream.dialer import Dialer
from tokenfall.upstream.proxies import proxy_for

FAILURE = 1
USAGE_ERROR = 2
CONNECT_S = 10.0
DRAIN_S = 1.0
"""How long streams under way may still take after the signal."""


def record(arguments: Namespace, environment: Mapping[str, str | None]) -> int:
    """Relay until a signal to stop; the exit status."""
    mistake = _mistake(arguments, environment)
    if mistake:
        print(f"tokenfall: {mistake}", file=sys.stderr)
        return USAGE_ERROR
    reactor = Reactor()
    try:
        address = parse_address(arguments.upstream)
        client = _client(address, reactor)
        keeper = Keeper(arguments.out)
    except ValueError as error:
        reactor.close()
        print(f"tokenfall: {error}", file=sys.stderr)
        return USAGE_ERROR
    except OSError as error:
        reactor.close()
        print(f"tokenfall: --out: cannot write {arguments.out}: {error.strerror}", file=sys.stderr)
        return FAILURE
    logs.set_up("error", "text")
    key = environment.get(arguments.key_env) if arguments.key_env else None
    recording = Recording(Recorder(client, keeper, base_path=address.path, key=key), client, reactor=reactor)
    status = recording.run(arguments)
    keeper.close()
    print(f"{keeper.kept} exchanges kept, {keeper.lost} lost", flush=True)
    return status or (FAILURE if keeper.lost else 0)


def _is_address(url: str) -> bool:
    try:
        parse_address(url)
    except ValueError:
        return False
    return True


def _mistake(arguments: Namespace, environment: Mapping[str, str | None]) -> str:
    """What is wrong with the command line, "" for nothing."""
    scheme, _, rest = arguments.upstream.partition("://")
    if scheme not in ("http", "https") or set(rest) & set("@?# ") or not _is_address(arguments.upstream):
        return "--upstream: takes a base address such as https://api.groq.com/openai/v1, without key, query and spaces"
    if not arguments.out.endswith(FILE_ENDING):
        return f"--out: got {arguments.out!r}, takes a file that ends in {FILE_ENDING}, as script= knows it by that"
    if arguments.key_env and not environment.get(arguments.key_env):
        return f"--key-env: {arguments.key_env} is not set"
    if arguments.key_env and arguments.host not in LOOPBACK_NAMES:
        return f"--host: with --key-env only {', '.join(LOOPBACK_NAMES)}: who reaches it asks with your key"
    return ""


def _client(address: Address, reactor: Reactor) -> HTTPClient:
    """Asks the origin of `address`. Raises ValueError for a proxy or authorities in the environment of no use."""
    dialer = Dialer(address._replace(path=""), reactor=reactor, connect_s=CONNECT_S, proxy=proxy_for(address))
    return HTTPClient(dialer, reactor)


class Recording:
    """The relay on its reactor."""

    def __init__(self, recorder: Recorder, client: HTTPClient, *, reactor: Reactor) -> None:
        self._recorder = recorder
        self._client = client
        self._reactor = reactor
        self._stop_signals = stop_signals()
        bounds = Bounds(max_body_bytes=MAX_REQUEST_BYTES)
        self._edge = HTTPServer(recorder, reactor=reactor, bounds=bounds, metrics=Metrics())

    def run(self, arguments: Namespace) -> int:
        """Listen and relay until a signal; the exit status."""
        try:
            host, port = self._edge.listen(arguments.host, arguments.port)[0]
        except OSError as error:
            print(f"tokenfall: cannot listen on {arguments.host}:{arguments.port}: {error}", file=sys.stderr)
            self._reactor.close()
            return FAILURE
        self._reactor.enable_wakeups(self._received)
        for number in self._stop_signals:
            watch(number)
        shown = f"[{host}]" if ":" in host else host
        print(f"Tokenfall records on http://{shown}:{port} into {arguments.out}; Ctrl-C ends it", flush=True)
        self._reactor.run()
        self._edge.close()
        self._reactor.close()
        return 0

    def _received(self, number: int) -> None:
        if number in self._stop_signals and not self._recorder.stopping:
            self._recorder.stopping = True
            self._edge.drain(DRAIN_S, self._drained)

    def _drained(self) -> None:
        """Close the upstream's connections, and end."""
        closing = self._reactor.spawn(self._client.close())
        closing.add_done_callback(lambda _: self._reactor.stop())
