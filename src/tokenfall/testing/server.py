"""The test's handle of a running server: its URLs, its controls and its metrics."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from tokenfall.testing.control import Control, reachable
from tokenfall.testing.gate import Gate
from tokenfall.testing.hosts import Host
from tokenfall.testing.samples import Sample, samples, summed
from tokenfall.testing.waiting import poll


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """One request from the server's request log, without the caller's API key."""

    time: float
    """Unix time, seconds."""
    id: str
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    """Values by lower-case name."""
    body: str
    """At most the first 16 KiB."""
    truncated: bool

    def json(self) -> Any:  # noqa: ANN401 - JSON is anything
        """The body as JSON. Raises ValueError if it is not JSON or was truncated."""
        return json.loads(self.body)


class TokenfallServer:
    """A running server: its addresses and its controls.

    Controls are HTTP requests and block for about a millisecond. They may be called from any thread. All of them raise
    `ServerGone` once the server has ended, and `ControlRefused` with the server's message if it refuses the request.
    """

    def __init__(self, host: Host, *, sim: str = "") -> None:
        """`sim` overrides the server's default grammar, now and at each `reset`."""
        self._host = host
        self._sim = sim
        self._control = Control(host)
        self._counted: Mapping[Sample, float] = {}
        if sim:
            self.set(sim)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._host.address.port

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`, without a trailing slash."""
        name = reachable(self._host.address.host)
        return f"http://[{name}]:{self.port}" if ":" in name else f"http://{name}:{self.port}"

    @property
    def openai_url(self) -> str:
        """The `base_url` of OpenAI's client."""
        return f"{self.url}/v1"

    @property
    def groq_url(self) -> str:
        """The `base_url` of Groq's client, which adds `/openai/v1` itself."""
        return self.url

    @property
    def anthropic_url(self) -> str:
        """The `base_url` of Anthropic's client, which adds `/v1` itself."""
        return self.url

    @property
    def ollama_url(self) -> str:
        """The `host` of Ollama's client."""
        return self.url

    # Simulator

    @property
    def sim(self) -> str:
        """The current default configuration, in the simulator's grammar."""
        return str(self._control.document("GET", "/sim")["sim"])

    def set(self, sim: str) -> None:
        """Override keys of the configuration for responses that start from now on: `set("status=429x2")`."""
        self._control.document("PATCH", "/sim", body={"sim": sim})

    def reset(self) -> None:
        """Restore the initial state: configuration, counts and limits. Gates, logged requests and conversations are
        deleted.

        Streams waiting at a gate continue. Running streams are not ended.
        """
        control = self._control
        control.document("DELETE", "/sim")
        while page := control.document("GET", "/conversations?limit=1000"):
            for conversation in page:
                control.content("DELETE", f"/conversations/{quote(conversation['id'], safe='')}")
        if self._sim:
            self.set(self._sim)
        self._counted = self._samples()

    def gate(self, name: str) -> Gate:
        """The gate at which streams with `gate=NAME` wait, or `gate=NAME@N` at token N."""
        return Gate(self._control, name)

    # Request log

    def journal(self, *, on: bool = True) -> None:
        """Start or stop logging requests; the newest 1,000 are stored."""
        self._control.document("PATCH", "/sim", body={"journal": on})

    def requests(self) -> list[SeenRequest]:
        """The logged requests, oldest first. Raises RuntimeError if the log was never on."""
        log = self._control.document("GET", "/sim/requests")
        if not log["journal"] and not log["requests"]:
            raise RuntimeError("the request log is off: call journal() before the requests to be logged")
        return [SeenRequest(**request) for request in log["requests"]]

    def forget_requests(self) -> None:
        """Clear the request log; it stays on."""
        self._control.document("DELETE", "/sim/requests")

    def wait_for_requests(self, number: int = 1, *, within_s: float = 5.0) -> list[SeenRequest]:
        """Return once this many requests are logged; polls every 3 ms. Raises TimeoutError, and as `requests`.

        It blocks; in a coroutine use `await asyncio.to_thread(server.wait_for_requests, 2)`.
        """
        return poll(
            self.requests, lambda seen: len(seen) >= number, within_s=within_s, what=f"{number} logged requests"
        )

    # Metrics

    @property
    def streams_in_flight(self) -> int:
        """Number of running simulated streams."""
        return int(self._control.document("GET", "/sim")["streams"])

    def wait_until_idle(self, *, within_s: float = 5.0) -> None:
        """Return once no simulated stream is running; polls every 3 ms. Raises TimeoutError."""
        poll(
            lambda: self.streams_in_flight,
            lambda streams: streams == 0,
            within_s=within_s,
            what="the end of all streams",
        )

    def metric(self, name: str, **labels: str) -> float:
        """A metric of `/metrics`, summed over the labels that are not given; counters since the last `reset`.

        Raises KeyError for an unknown name. A counter with labels is unknown before its first event.
        """
        return summed(self._samples(), name, since=self._counted, **labels)

    def _samples(self) -> dict[Sample, float]:
        return samples(self._control.content("GET", "/metrics").decode())

    # Process

    @property
    def is_running(self) -> bool:
        """Whether the server is still running."""
        return self._host.exit_reason() is None

    @property
    def pid(self) -> int | None:
        """PID of the server's process, None for a thread of this process."""
        return self._host.pid
