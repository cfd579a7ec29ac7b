"""deploy/helm/tokenfall: lint, rendering with each value file, and validation by the Kubernetes schemas."""

import json
from pathlib import Path

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml  # type: ignore[import-untyped,unused-ignore]

from tokenfall import __version__
from tokenfall.api.metrics import families
from tokenfall.metrics.registry import Metrics
from tokenfall.settings import load
from tokenfall.settings.fields import SETTINGS

from tests.deploy.helm import CHART, Helm, Manifest

VALUE_FILES = sorted((CHART / "ci").glob("*.yaml"))
KUBERNETES = ("1.30", kubernetes_validate.latest_version())
"""The oldest supported version, and the newest with available schemas."""

SECRETS = {"API_KEY", "GROQ_API_KEY", "UPSTREAM_API_KEY", "OPENAI_API_KEY"}
Values = pytest.mark.parametrize("values", VALUE_FILES, ids=lambda path: path.stem)


def by_kind(manifests: list[Manifest]) -> dict[str, Manifest]:
    kinds = {one["kind"]: one for one in manifests}
    assert len(kinds) == len(manifests)
    return kinds


def container(kinds: dict[str, Manifest]) -> Manifest:
    (only,) = kinds["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert isinstance(only, dict)
    return only


def environment(kinds: dict[str, Manifest]) -> dict[str, str]:
    return {one["name"]: one.get("value", "from a secret") for one in container(kinds)["env"]}


def test_there_are_five_value_files() -> None:
    assert len(VALUE_FILES) == 5


@Values
def test_chart_passes_helm_lint_strict(helm: Helm, values: Path) -> None:
    linted = helm("lint", "--strict", str(CHART), "--values", str(values))

    assert linted.returncode == 0, linted.stdout


@Values
@pytest.mark.parametrize("version", KUBERNETES)
def test_every_manifest_matches_the_kubernetes_schemas(helm: Helm, values: Path, version: str) -> None:
    for manifest in helm.manifests("--values", str(values)):
        if manifest["kind"] != "ServiceMonitor":  # custom resources of the Prometheus Operator
            kubernetes_validate.validate(manifest, version, strict=True)


@Values
def test_selectors_match_the_pods_and_pods_are_restricted(helm: Helm, values: Path) -> None:
    kinds = by_kind(helm.manifests("--values", str(values)))
    pod = kinds["Deployment"]["spec"]["template"]
    labels = pod["metadata"]["labels"].items()
    selectors = [kinds["Deployment"]["spec"]["selector"]["matchLabels"], kinds["Service"]["spec"]["selector"]]
    selectors += [kinds[kind]["spec"]["selector"]["matchLabels"] for kind in ("PodDisruptionBudget",) if kind in kinds]
    selectors += [kinds["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"]]

    assert all(selector.items() <= labels for selector in selectors)
    assert pod["spec"]["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "fsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container(kinds)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["spec"]["automountServiceAccountToken"] is False


@Values
def test_grace_period_covers_the_hook_and_the_drain(helm: Helm, values: Path) -> None:
    kinds = by_kind(helm.manifests("--values", str(values)))
    hook = container(kinds).get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    drain_s = load({"DRAIN_TIMEOUT": environment(kinds)["DRAIN_TIMEOUT"]}).drain_timeout

    assert kinds["Deployment"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] >= hook + drain_s + 2


@Values
def test_server_accepts_the_rendered_environment(helm: Helm, values: Path) -> None:
    texts = environment(by_kind(helm.manifests("--values", str(values))))
    known = {name.upper() for name in SETTINGS}
    written = {name: text for name, text in texts.items() if text not in ("from a secret", "sqlite:////data/chat.db")}

    assert set(texts) <= known
    assert set(texts) & SECRETS == set()
    load({**written, "API_KEY": "key"})


def test_autoscaler_uses_an_exported_metric(helm: Helm) -> None:
    kinds = by_kind(helm.manifests("--values", str(CHART / "ci" / "autoscaled.yaml")))
    first, *others = kinds["HorizontalPodAutoscaler"]["spec"]["metrics"]

    assert first["pods"]["metric"]["name"] in {family.name for family in families(Metrics())}
    assert [one["resource"]["name"] for one in others] == ["cpu"]
    assert "replicas" not in kinds["Deployment"]["spec"]
    assert kinds["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1


def test_service_monitor_scrapes_the_service_port(helm: Helm) -> None:
    kinds = by_kind(helm.manifests("--values", str(CHART / "ci" / "autoscaled.yaml")))
    (endpoint,) = kinds["ServiceMonitor"]["spec"]["endpoints"]

    assert endpoint["port"] in {port["name"] for port in kinds["Service"]["spec"]["ports"]}
    assert endpoint["path"] == "/metrics"
    assert (
        kinds["ServiceMonitor"]["spec"]["selector"]["matchLabels"].items()
        <= kinds["Service"]["metadata"]["labels"].items()
    )


def test_keys_are_only_in_the_secret(helm: Helm) -> None:
    manifests = helm.manifests("--values", str(CHART / "ci" / "autoscaled.yaml"), "--set", "keys.values.API_KEY=a-key")
    kinds = by_kind(manifests)

    assert kinds["Secret"]["stringData"]["API_KEY"] == "a-key"
    assert container(kinds)["envFrom"] == [{"secretRef": {"name": kinds["Secret"]["metadata"]["name"]}}]
    assert "a-key" not in json.dumps([one for one in manifests if one["kind"] != "Secret"])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ("replicas: three", "at '/replicas': got string, want integer"),
        ("settings: {RATE_LIMIT_RPS: 0}", "at '/settings/RATE_LIMIT_RPS': got number, want string"),
        ("settings: {API_KEY: secret}", "at '/settings/API_KEY': false schema"),
        ("settings: {api_key: secret}", "at '/settings': additional properties 'api_key' not allowed"),
        ("keys: {values: {PASSWORD: x}}", "at '/keys/values': additional properties 'PASSWORD' not allowed"),
        ("image: {digest: latest}", "at '/image/digest': 'latest' does not match pattern"),
        ("drain: {drainSeconds: 30s}", "at '/drain/drainSeconds': got string, want integer"),
        ("autoscale: {enabled: true}", "additional properties 'autoscale' not allowed"),
        ("{replicas: 2, upstream: {url: 'https://x.example'}, keys: {existingSecret: k}}", "need redis.url"),
        ("{replicas: 2, persistence: {enabled: true}}", "persistence.enabled: SQLite on a volume is for one replica"),
        ("upstream: {url: 'https://x.example'}", "upstream.url: needs keys.existingSecret or keys.values"),
        ("autoscaling: {enabled: true, minReplicas: 9, maxReplicas: 3}", "autoscaling.minReplicas: must not be above"),
    ],
)
def test_invalid_value_is_refused_by_name(helm: Helm, tmp_path: Path, values: str, expected: str) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(values, encoding="utf-8")

    refused = helm.template("--values", str(file))

    assert refused.returncode != 0
    assert expected in refused.stderr


def test_chart_has_the_package_version_and_a_schema_for_every_value(helm: Helm) -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))

    assert chart["appVersion"] == __version__
    assert set(schema["properties"]) - {"global"} == set(values)
    assert helm.template().returncode == 0
