import json

import pytest

from tokenfall import __version__
from tokenfall.api import probes
from tokenfall.api.probes import Probes, resident_bytes
from tokenfall.metrics import Metrics

from tests.doubles.requests import lines_of, request


class House:
    def __init__(self) -> None:
        self.draining = False
        self.metrics = Metrics()
        self.probes = Probes(self.metrics, lambda: self.draining)


@pytest.fixture
def house() -> House:
    return House()


@pytest.mark.parametrize("accept", [None, "*/*", "text/plain"])
def test_health_is_ok_as_text(house: House, accept: str | None) -> None:
    response = house.probes.health(request(headers={} if accept is None else {"accept": accept}))

    assert (response.status, response.body) == (200, b"OK")
    assert "content-type: text/plain; charset=utf-8" in lines_of(response.head)


def test_health_is_json_for_who_accepts_it(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "monotonic", lambda: house.probes._started_s + 7.25)
    response = house.probes.health(request(headers={"accept": "text/html, application/json;q=0.9"}))

    assert json.loads(response.body) == {"status": "ok", "version": __version__, "uptime_s": 7.25}


def test_it_lives_also_while_draining(house: House) -> None:
    house.draining = True

    assert house.probes.live(request()).status == 200


def test_it_is_ready_until_it_drains(house: House) -> None:
    ready = house.probes.ready(request())
    house.draining = True
    draining = house.probes.ready(request())

    assert (ready.status, json.loads(ready.body)) == (200, {"status": "ready"})
    assert (draining.status, json.loads(draining.body)) == (503, {"status": "draining"})


def test_the_version(house: House) -> None:
    assert json.loads(house.probes.version(request()).body) == {"name": "tokenfall", "version": __version__}


def test_metrics_are_prometheus_text(house: House) -> None:
    house.metrics.tokens = 7
    response = house.probes.metrics(request())

    assert "content-type: text/plain; version=0.0.4; charset=utf-8" in lines_of(response.head)
    assert b"\ntokenfall_tokens_total 7.0\n" in response.body


def test_what_changes_is_not_kept_by_caches(house: House) -> None:
    for handler in (house.probes.health, house.probes.ready, house.probes.metrics):
        assert "cache-control: no-store" in lines_of(handler(request()).head)


def test_resident_memory_is_that_of_this_process() -> None:
    assert 5 * 1024**2 < resident_bytes() < 10 * 1024**3
