from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from tokenfall.api.exposition import counters, exposition, gauge, histogram
from tokenfall.metrics.registry import Histogram

NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=20)


def test_gauge_has_help_type_and_value_lines() -> None:
    assert exposition([gauge("streams", "Open\nnow, \\ all.", value=3)]) == (
        b"# HELP streams Open\\nnow, \\\\ all.\n# TYPE streams gauge\nstreams 3.0\n"
    )


@given(st.dictionaries(st.tuples(NAMES, NAMES), st.integers(0, 10**15), max_size=5))
def test_any_label_value_round_trips(counts: dict[tuple[str, str], int]) -> None:
    written = exposition(
        [counters("c_total", "C.", counts=[({"a": a, "b": b}, count) for (a, b), count in counts.items()])]
    )
    (family,) = text_string_to_metric_families(written.decode())

    assert {(one.labels["a"], one.labels["b"]): one.value for one in family.samples} == counts


def test_every_histogram_line_has_the_labels() -> None:
    counted = Histogram()
    counted.observe(0.3, 2)
    (family,) = text_string_to_metric_families(
        exposition([histogram("h_seconds", "H.", counted=counted, labels={"model_name": "sim"})]).decode()
    )

    assert family.type == "histogram"
    assert {one.labels["model_name"] for one in family.samples} == {"sim"}
    values = {(one.name, one.labels.get("le")): one.value for one in family.samples}
    assert values["h_seconds_bucket", "0.25"] == 0
    assert values["h_seconds_bucket", "0.5"] == 2
    assert values["h_seconds_count", None] == 2
    assert values["h_seconds_sum", None] == 0.6
