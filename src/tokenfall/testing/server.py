"""The server that a test holds in its hands."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from tokenfall.testing.control import Control, reachable
from tokenfall.testing.gate import Gate
from tokenfall.testing.hosts import Host
from tokenfall.testing.samples import Sample, samples, summed
from tokenfall.testing.waiting import awaited


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """One request as the server's journal kept it, what callers sent as their key removed."""

    time: float
    """Unix time, seconds."""
    id: str
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    """By their names in lower case."""
    body: str
    """At most the first 16 KiB."""
    truncated: bool

    def json(self) -> Any:  # noqa: ANN401 - JSON is anything
        """The body as JSON. Raises ValueError when it is none, or was cut."""
        return json.loads(self.body)


class TokenfallServer:
    """A running server: its addresses, and its controls.

    Controls are HTTP requests and block for about a millisecond. They may be called from any thread. All of them raise
    `ServerGone` once the server has ended, and `ControlRefused` with the server's own words on what it does not take.
    """

    def __init__(self, host: Host, *, sim: str = "") -> None:
        """`sim` is what is put over the server's own default now and at each `reset`."""
        self._host = host
        self._sim = sim
        self._control = Control(host)
        self._counted: Mapping[Sample, float] = {}
        if sim:
            self.set(sim)

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._host.address.port

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`, without a slash at the end."""
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

    # What is simulated

    @property
    def sim(self) -> str:
        """What holds where a request says nothing, in the simulator's grammar."""
        return str(self._control.document("GET", "/sim")["sim"])

    def set(self, sim: str) -> None:
        """Put grammar over what holds, key by key, for answers that begin from now on: `set("status=429x2")`."""
        self._control.document("PATCH", "/sim", body={"sim": sim})

    def reset(self) -> None:
        """As it was at the start: settings, counts and limits; gates, the journal and conversations are gone.

        Who waits at a gate goes on. Streams under way are not cut.
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

    # What was asked

    def journal(self, *, on: bool = True) -> None:
        """Begin, or cease, to keep the requests that come: the newest 1,000."""
        self._control.document("PATCH", "/sim", body={"journal": on})

    def requests(self) -> list[SeenRequest]:
        """What the journal kept, oldest first. Raises RuntimeError when it was never on."""
        told = self._control.document("GET", "/sim/requests")
        if not told["journal"] and not told["requests"]:
            raise RuntimeError("the journal is off: call journal() before what it is to keep")
        return [SeenRequest(**request) for request in told["requests"]]

    def forget_requests(self) -> None:
        """Empty the journal; it stays on."""
        self._control.document("DELETE", "/sim/requests")

    def wait_for_requests(self, number: int = 1, *, within_s: float = 5.0) -> list[SeenRequest]:
        """Return once the journal has so many; it is looked at every 3 ms. Raises TimeoutError, and as `requests`.

        Blocks: in a coroutine `await asyncio.to_thread(server.wait_for_requests, 2)`.
        """
        return awaited(
            self.requests, lambda seen: len(seen) >= number, within_s=within_s, what=f"{number} requests in the journal"
        )

    # What is counted

    @property
    def streams_in_flight(self) -> int:
        """Simulated answers that have begun and not ended."""
        return int(self._control.document("GET", "/sim")["streams"])

    def wait_until_idle(self, *, within_s: float = 5.0) -> None:
        """Return once no simulated answer is under way; looks every 3 ms. Raises TimeoutError."""
        awaited(
            lambda: self.streams_in_flight,
            lambda streams: streams == 0,
            within_s=within_s,
            what="the end of all streams",
        )

    def metric(self, name: str, **labels: str) -> float:
        """A metric of `/metrics`, summed over labels that are not given; counters since the last `reset`.

        Raises KeyError for a name that is not there; a counter with labels is there once it has counted something.
        """
        return summed(self._samples(), name, since=self._counted, **labels)

    def _samples(self) -> dict[Sample, float]:
        return samples(self._control.content("GET", "/metrics").decode())

    # The end

    @property
    def is_running(self) -> bool:
        """Whether the server is still there."""
        return self._host.exit_reason() is None

    @property
    def pid(self) -> int | None:
        """The process's own number, None for a thread of this process."""
        return self._host.pid
