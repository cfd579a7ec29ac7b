import json

import pytest

from tokenfall import __version__
from tokenfall.api import probes
from tokenfall.api.probes import Probes, resident_bytes
from tokenfall.api.readiness import Check
from tokenfall.errors import StoreUnavailable
from tokenfall.http.response import Response
from tokenfall.metrics.registry import Metrics

from tests.doubles.clocks import FakeClock
from tests.doubles.requests import lines_of, request


class Harness:
    def __init__(self) -> None:
        self.draining = False
        self.metrics = Metrics()
        self.probes = Probes(lambda: self.metrics, lambda: self.draining)


async def readiness(probes: Probes) -> Response:
    """The response of `/readyz`, awaited if necessary."""
    response = probes.ready(request())
    return response if isinstance(response, Response) else await response


@pytest.fixture
def harness() -> Harness:
    return Harness()


@pytest.mark.parametrize("accept", [None, "*/*", "text/plain"])
def test_health_is_ok_as_text(harness: Harness, accept: str | None) -> None:
    response = harness.probes.health(request(headers={} if accept is None else {"accept": accept}))

    assert (response.status, response.body) == (200, b"OK")
    assert "content-type: text/plain; charset=utf-8" in lines_of(response.head)


def test_health_is_json_if_the_client_accepts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    monkeypatch.setattr(probes, "monotonic", clock)
    harness = Harness()
    clock.advance(7.25)
    response = harness.probes.health(request(headers={"accept": "text/html, application/json;q=0.9"}))

    assert json.loads(response.body) == {"status": "ok", "version": __version__, "uptime_s": 7.25}


def test_draining_server_is_live(harness: Harness) -> None:
    harness.draining = True

    assert harness.probes.live(request()).status == 200


async def test_server_is_ready_until_it_drains(harness: Harness) -> None:
    ready = await readiness(harness.probes)
    harness.draining = True
    draining = await readiness(harness.probes)

    assert (ready.status, json.loads(ready.body)) == (200, {"status": "ready"})
    assert (draining.status, json.loads(draining.body)) == (503, {"status": "draining"})


def test_version_is_encoded(harness: Harness) -> None:
    assert json.loads(harness.probes.version(request()).body) == {"name": "tokenfall", "version": __version__}


def test_metrics_are_prometheus_text(harness: Harness) -> None:
    harness.metrics.tokens = 7
    response = harness.probes.metrics(request())

    assert "content-type: text/plain; version=0.0.4; charset=utf-8" in lines_of(response.head)
    assert b"\ntokenfall_tokens_total 7.0\n" in response.body


async def test_probe_responses_are_not_cached(harness: Harness) -> None:
    for response in (
        harness.probes.health(request()),
        await readiness(harness.probes),
        harness.probes.metrics(request()),
    ):
        assert "cache-control: no-store" in lines_of(response.head)


async def good() -> None:
    return


async def bad() -> None:
    raise StoreUnavailable("down at 10.0.0.7")


@pytest.mark.parametrize(
    ("required", "optional", "status", "document"),
    [
        ({"history": good}, {"limits": good}, 200, {"status": "ready"}),
        ({"history": good}, {"limits": bad, "turns": good}, 200, {"status": "degraded", "failing": ["limits"]}),
        ({"history": bad}, {"limits": good}, 503, {"status": "unavailable", "failing": ["history"]}),
        ({"history": bad}, {"turns": bad}, 503, {"status": "unavailable", "failing": ["history", "turns"]}),
    ],
    ids=["all up", "optional store down", "required store down", "both down"],
)
async def test_readiness_depends_on_the_stores(
    required: dict[str, Check], optional: dict[str, Check], status: int, document: dict[str, object]
) -> None:
    response = await readiness(Probes(Metrics, lambda: False, required=required, optional=optional))

    assert (response.status, json.loads(response.body)) == (status, document)


async def test_stores_are_checked_at_each_request() -> None:
    checks = iter([bad, good])

    async def check() -> None:
        await next(checks)()

    probes = Probes(Metrics, lambda: False, required={"history": check})

    assert [(await readiness(probes)).status for _ in range(2)] == [503, 200]


async def test_draining_server_checks_no_store() -> None:
    async def unasked() -> None:
        raise AssertionError

    assert (await readiness(Probes(Metrics, lambda: True, required={"history": unasked}))).status == 503


async def test_unexpected_error_in_a_check_is_raised() -> None:
    async def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await readiness(Probes(Metrics, lambda: False, optional={"limits": broken}))


def test_resident_memory_is_that_of_this_process() -> None:
    assert 5 * 1024**2 < resident_bytes() < 10 * 1024**3
