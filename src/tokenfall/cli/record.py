"""`tokenfall record`: relays requests to a provider and records the exchanges, until a stop signal."""

import sys
from argparse import Namespace
from collections.abc import Mapping

from tokenfall import logs
from tokenfall.http.bounds import Bounds
from tokenfall.http.server import HTTPServer
from tokenfall.memory.leases import RequestMemory
from tokenfall.metrics.registry import Metrics
from tokenfall.reactor.loop import Reactor
from tokenfall.reactor.signals import enable_wakeup, stop_signals
from tokenfall.recording.recorder import LOOPBACK_NAMES, MAX_REQUEST_BYTES, Recorder
from tokenfall.recording.writer import RecordingWriter
from tokenfall.settings import InvalidSetting
from tokenfall.simulator.library import RECORDING
from tokenfall.upstream.address import UpstreamAddress, parse_address
from tokenfall.upstream.client import HTTPClient
from tokenfall.upstream.dialer import Dialer
from tokenfall.upstream.proxies import proxy_for

FAILURE = 1
CONNECT_S = 10.0
MEMORY_BYTES = 268_435_456
"""Size of all requests that are being received, and of all exchanges that are not written yet."""
DRAIN_S = 1.0
"""How long streams may continue after the signal."""


def record(arguments: Namespace, environment: Mapping[str, str | None]) -> int:
    """Relay until a stop signal; return the exit status. Raises `InvalidSetting` for an invalid argument or proxy."""
    address = _upstream_address(arguments.upstream)
    _check(arguments, environment)
    reactor = Reactor()
    try:
        client = _client(address, reactor)
        writer = RecordingWriter(arguments.out)
    except ValueError as error:
        reactor.close()
        raise InvalidSetting(str(error)) from None
    except OSError as error:
        reactor.close()
        print(f"tokenfall: --out: cannot write {arguments.out}: {error.strerror}", file=sys.stderr)
        return FAILURE
    logs.set_up("error", "text")
    key = environment.get(arguments.key_env) if arguments.key_env else None
    memory = RequestMemory(MEMORY_BYTES, Metrics())
    recorder = Recorder(client, writer, base_path=address.path, key=key, memory=memory)
    recording = RecordingServer(recorder, client, reactor=reactor, memory=memory)
    status = recording.run(arguments)
    writer.close()
    print(f"{writer.written_count} exchanges written, {writer.lost_count} lost", flush=True)
    return status or (FAILURE if writer.lost_count else 0)


def _upstream_address(url: str) -> UpstreamAddress:
    """Raises `InvalidSetting`."""
    scheme, _, after_scheme = url.partition("://")
    try:
        if scheme in ("http", "https") and not set(after_scheme) & set("@?# "):
            return parse_address(url)
    except ValueError:
        pass
    raise InvalidSetting(
        "--upstream: takes a base address such as https://api.groq.com/openai/v1, without key, query or spaces"
    )


def _check(arguments: Namespace, environment: Mapping[str, str | None]) -> None:
    """Raises `InvalidSetting` for an invalid file, key or host."""
    if not arguments.out.endswith(RECORDING):
        raise InvalidSetting(
            f"--out: got {arguments.out!r}, takes a file that ends in {RECORDING}, as script= requires"
        )
    if arguments.key_env and not environment.get(arguments.key_env):
        raise InvalidSetting(f"--key-env: {arguments.key_env} is not set")
    if arguments.key_env and arguments.host not in LOOPBACK_NAMES:
        raise InvalidSetting(
            f"--host: with --key-env only {', '.join(LOOPBACK_NAMES)}: every client that reaches it uses your key"
        )


def _client(address: UpstreamAddress, reactor: Reactor) -> HTTPClient:
    """A client for the origin of `address`. Raises ValueError for an invalid proxy or CA file in the environment."""
    dialer = Dialer(address._replace(path=""), reactor=reactor, connect_s=CONNECT_S, proxy=proxy_for(address))
    return HTTPClient(dialer, reactor)


class RecordingServer:
    """The recording server on its reactor."""

    def __init__(self, recorder: Recorder, client: HTTPClient, *, reactor: Reactor, memory: RequestMemory) -> None:
        self._recorder = recorder
        self._client = client
        self._reactor = reactor
        self._stop_signals = stop_signals()
        bounds = Bounds(max_body_bytes=MAX_REQUEST_BYTES)
        self._http = HTTPServer(
            recorder, reactor=reactor, bounds=bounds, metrics=Metrics(), request_memory=memory.shares
        )

    def run(self, arguments: Namespace) -> int:
        """Listen and relay until a signal; return the exit status."""
        try:
            host, port = self._http.listen(arguments.host, arguments.port)[0]
        except OSError as error:
            print(f"tokenfall: cannot listen on {arguments.host}:{arguments.port}: {error}", file=sys.stderr)
            self._reactor.close()
            return FAILURE
        self._reactor.enable_wakeups(self._on_signal)
        for number in self._stop_signals:
            enable_wakeup(number)
        shown = f"[{host}]" if ":" in host else host
        print(f"Tokenfall records on http://{shown}:{port} into {arguments.out}; stop it with Ctrl-C", flush=True)
        self._reactor.run()
        self._http.close()
        self._reactor.close()
        return 0

    def _on_signal(self, number: int) -> None:
        if number in self._stop_signals and not self._recorder.stopping:
            self._recorder.stopping = True
            self._http.drain(DRAIN_S, self._drained)

    def _drained(self) -> None:
        """Close the upstream connections, and end the run."""
        closing = self._reactor.spawn(self._client.close())
        closing.add_done_callback(lambda _: self._reactor.stop())
