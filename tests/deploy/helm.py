"""The helm command on the chart."""

import subprocess
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped,unused-ignore]

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "tokenfall"
BUILD_S = 600
"""Timeout of building helm."""

Manifest = dict[str, Any]


class Helm:
    """The helm command at `path`."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([self._path, *words], capture_output=True, text=True, check=False)

    def template(self, *words: str, kube_version: str = "1.33.0") -> subprocess.CompletedProcess[str]:
        return self("template", "test", str(CHART), "--kube-version", kube_version, *words)

    def manifests(self, *words: str) -> list[Manifest]:
        rendered = self.template(*words)
        assert rendered.returncode == 0, rendered.stderr
        return [one for one in yaml.safe_load_all(rendered.stdout) if one]


def find_helm() -> tuple[str, str]:
    """Return the path of helm, or why it is not available."""
    done = subprocess.run([ROOT / "scripts" / "helm"], capture_output=True, text=True, timeout=BUILD_S, check=False)
    return done.stdout.strip(), done.stderr.strip()
