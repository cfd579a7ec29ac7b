"""deploy/grafana and deploy/prometheus: all metrics used are exported, all alerts have a runbook entry."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped,unused-ignore]
from prometheus_client.parser import text_string_to_metric_families

from tokenfall.api.metrics import scraped
from tokenfall.metrics.registry import Metrics

from tests.deploy.helm import ROOT

RULES = ROOT / "deploy" / "prometheus" / "tokenfall.rules.yml"
RULE_TESTS = RULES.with_name("tokenfall.tests.yml")
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "tokenfall.json").read_text(encoding="utf-8"))
NAMED = re.compile(r"\btokenfall_[a-z_]+")
LABELLED = re.compile(r"(tokenfall_[a-z_]+)\{([^}]*)\}")
FROM_PROMETHEUS = {"job", "instance"}
OPERATORS = "=~!"


def exported_labels() -> dict[str, set[str]]:
    """Return the label names of each exported sample by its name."""
    metrics = Metrics()
    metrics.requests = {("/chat", 200): 1}
    for counts in (metrics.streams_ended, metrics.streams_failed, metrics.upstream_errors, metrics.redis_failures):
        counts["any"] = 1
    metrics.memory_refused = {("requests", "share"): 1}
    metrics.upstream_began("any", 1.0)
    families = text_string_to_metric_families(scraped(metrics).decode())
    return {one.name: set(one.labels) for family in families for one in family.samples}


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions() -> list[str]:
    alerts = [
        rule["expr"] for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]
    ]
    targets = [target["expr"] for panel in panels() for target in panel["targets"]]
    variables = [one["definition"] for one in DASHBOARD["templating"]["list"] if "definition" in one]
    return [*alerts, *targets, *variables]


@pytest.mark.parametrize("expression", expressions())
def test_metrics_and_labels_of_expressions_are_exported(expression: str) -> None:
    known = exported_labels()

    assert [name for name in NAMED.findall(expression) if name not in known] == []
    for name, matchers in LABELLED.findall(expression):
        labels = {re.split(f"[{OPERATORS}]", matcher, maxsplit=1)[0].strip() for matcher in matchers.split(",")}
        assert labels - FROM_PROMETHEUS <= known[name], name


def test_dashboard_uses_every_metric() -> None:
    shown = {name for panel in panels() for target in panel["targets"] for name in NAMED.findall(target["expr"])}
    histograms = {name.removesuffix("_bucket") for name in shown if name.endswith("_bucket")}
    families = {name for name in exported_labels() if not name.endswith(("_bucket", "_count", "_sum"))} | histograms

    assert families - histograms <= shown


def test_panels_do_not_overlap_and_use_the_selected_data_source() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert {panel["datasource"]["uid"] for panel in panels()} == {"${datasource}"}
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_every_alert_has_a_runbook_entry() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    rules = [rule for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]

    assert [rule["alert"] for rule in rules] == re.findall(r"^### (Tokenfall\w+)$", page, re.MULTILINE)
    for rule in rules:
        assert rule["annotations"]["runbook"] == f"docs/operations.md#{rule['alert'].lower()}"


@pytest.mark.parametrize("words", [("check", "rules", str(RULES)), ("test", "rules", str(RULE_TESTS))], ids=" ".join)
def test_promtool_accepts_the_rules_and_their_tests_pass(words: tuple[str, ...], tmp_path: Path) -> None:
    if not shutil.which("promtool"):
        pytest.skip("promtool is not here (Debian's package prometheus)")

    checked = subprocess.run(["promtool", *words], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert checked.returncode == 0, checked.stdout + checked.stderr
