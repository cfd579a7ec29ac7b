import pytest

from tokenfall.testing.samples import samples, summed

BEFORE = samples('# TYPE a_total counter\na_total{route="/x",status="200"} 2.0\n')
TEXT = """\
# HELP a_total Text with {braces} and a number 5
# TYPE a_total counter
a_total{route="/x",status="200"} 5.0
a_total{route="/x",status="500"} 1.0
a_total{route="/y",status="200"} 10.0
# TYPE now gauge
now 7.0
"""


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("a_total", {}, 14),
        ("a_total", {"route": "/x"}, 4),
        ("a_total", {"route": "/x", "status": "200"}, 3),
        ("a_total", {"status": "20"}, 0),
        ("now", {}, 7),
    ],
)
def test_samples_are_summed_and_counters_counted_from_before(name: str, labels: dict[str, str], value: float) -> None:
    assert summed(samples(TEXT), name, since=BEFORE, **labels) == value


def test_gauge_has_its_current_value() -> None:
    assert summed(samples(TEXT), "now", since=samples(TEXT)) == 7


def test_unknown_metric_name_is_an_error() -> None:
    with pytest.raises(KeyError, match="no metric is named b; there are a_total, now"):
        summed(samples(TEXT), "b", since={})
