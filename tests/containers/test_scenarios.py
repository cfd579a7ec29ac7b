"""Scenario files in the images."""

import json
from pathlib import Path

import pytest

from tests.containers.podman import Podman
from tests.containers.test_running import INVALID_SETTINGS
from tests.end_to_end.chatting import chat, response_text
from tests.end_to_end.client import fetch

NEEDS_RE2 = r"(go+)+al$"
PLAIN = r"go{1,3}al"


def scenario_option(folder: Path, name: str, pattern: str) -> tuple[str, str]:
    """Write a scenario file; return the podman option that mounts it and the value of `SIM`."""
    turns = [{"when": {"last": {"pattern": pattern}}, "say": "Scored."}]
    (folder / name).write_text(json.dumps(turns), encoding="utf-8")  # JSON is YAML, too
    (folder / name).chmod(0o644)
    return f"--volume={folder / name}:/{name}:ro", f"script=/{name}"


@pytest.mark.parametrize(
    ("target", "name", "pattern"),
    [("full", "turns.yaml", NEEDS_RE2), ("full", "turns.json", NEEDS_RE2), ("simulator", "turns.json", PLAIN)],
)
async def test_image_serves_a_scenario_file(
    podman: Podman, images: object, tmp_path: Path, target: str, name: str, pattern: str
) -> None:
    volume, sim = scenario_option(tmp_path, name, pattern)
    image = {"full": "tokenfall:latest", "simulator": "tokenfall:simulator"}[target]
    with podman.running(image, options=(volume, "--memory=128m"), SIM=sim) as server:
        response = await fetch(server.port, chat("a goal", model=None))
        assert (response.status, response_text(response.body)) == (200, "Scored.")
        assert (await fetch(server.port, chat("no match", model=None))).status == 404


@pytest.mark.parametrize(
    ("name", "pattern", "needed"),
    [("turns.yaml", PLAIN, "YAML needs PyYAML"), ("turns.json", NEEDS_RE2, "without google-re2")],
)
def test_small_image_names_the_library_missing_for_a_scenario_file(
    podman: Podman, simulator: str, tmp_path: Path, name: str, pattern: str, needed: str
) -> None:
    volume, sim = scenario_option(tmp_path, name, pattern)

    ended = podman.tried("run", "--rm", "--network=host", volume, f"--env=SIM={sim}", simulator)

    assert (ended.returncode, ended.stdout) == (INVALID_SETTINGS, "")
    assert f"/{name}" in ended.stderr
    assert needed in ended.stderr
    assert "the image `full`" in ended.stderr
