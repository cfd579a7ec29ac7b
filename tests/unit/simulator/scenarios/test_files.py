import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tokenfall.simulator.scenarios.files import CHECK_INTERVAL_S, ScenarioFile
from tokenfall.simulator.scenarios.format import TextStep
from tokenfall.simulator.scenarios.nodes import InvalidScenario


class FakeTime:
    """A fake clock."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "talk.yaml"
    path.write_text("- say: one")
    return path


@pytest.fixture
def clock() -> FakeTime:
    return FakeTime()


@pytest.fixture
def file(path: Path, clock: FakeTime) -> ScenarioFile:
    return ScenarioFile(path, now=clock)


def text_of(file: ScenarioFile) -> str:
    (step,) = file.current().turns[0].steps
    assert isinstance(step, TextStep)
    return step.text


def test_changed_file_is_reloaded_at_most_once_a_second(path: Path, clock: FakeTime, file: ScenarioFile) -> None:
    path.write_text("- say: three")
    clock.now_s += CHECK_INTERVAL_S - 0.01
    assert text_of(file) == "one"
    clock.now_s += 0.01
    assert text_of(file) == "three"
    path.write_text("- say: fours")
    os.utime(path, ns=(1, 1))
    assert text_of(file) == "three"
    clock.now_s += CHECK_INTERVAL_S
    assert text_of(file) == "fours"


def test_unchanged_file_is_not_reloaded(clock: FakeTime, file: ScenarioFile) -> None:
    before = file.current()
    clock.now_s += 5
    assert file.current() is before


def test_changed_file_is_reloaded_once(path: Path, clock: FakeTime, file: ScenarioFile) -> None:
    path.write_text("- say: three")
    clock.now_s += CHECK_INTERVAL_S
    before = file.current()
    clock.now_s += CHECK_INTERVAL_S

    assert file.current() is before


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (replace_by_folder, "scenario not reloaded, the previous version stays in use: talk.yaml: not a file"),
        (
            lambda path: path.write_text("- say: two\n- when: {}"),
            "scenario not reloaded, the previous version stays in use: talk.yaml:2: turn 2: has neither say nor sim",
        ),
        (
            Path.unlink,
            "scenario file talk.yaml was removed, its last version stays in use: No such file or directory",
        ),
    ],
)
def test_invalid_version_is_logged_once_and_the_previous_one_stays(
    change: Callable[[Path], None],
    message: str,
    path: Path,
    clock: FakeTime,
    file: ScenarioFile,
    caplog: pytest.LogCaptureFixture,
) -> None:
    change(path)
    for _ in range(3):
        clock.now_s += CHECK_INTERVAL_S
        assert text_of(file) == "one"

    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [(logging.ERROR, message)]


def test_file_is_reloaded_after_its_removal(path: Path, clock: FakeTime, file: ScenarioFile) -> None:
    for change in (path.unlink, lambda: path.write_text("- say: back")):
        change()
        clock.now_s += CHECK_INTERVAL_S
        file.current()

    assert text_of(file) == "back"


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidScenario, match=r"^none\.yaml: cannot be read: No such file or directory$"):
        ScenarioFile(tmp_path / "none.yaml")


def test_named_pipe_is_refused_without_blocking(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")

    with pytest.raises(InvalidScenario, match="not a file"):
        ScenarioFile(tmp_path / "pipe.yaml")


def test_invalid_first_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("[{}]")

    with pytest.raises(InvalidScenario, match=r"^bad\.json:1: turn 1: has neither say nor sim$"):
        ScenarioFile(tmp_path / "bad.json")


@pytest.mark.parametrize("missing", ["yaml", "tokenfall.simulator.scenarios.yaml_text"])
def test_yaml_without_its_library_is_refused_and_json_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.delitem(sys.modules, "tokenfall.simulator.scenarios.yaml_text", raising=False)
    monkeypatch.setitem(sys.modules, missing, None)
    for name in ("turns.yaml", "turns.json"):
        (tmp_path / name).write_text('[{"say": "Hello"}]')

    with pytest.raises(InvalidScenario, match=r"^turns\.yaml: YAML needs PyYAML: use the image `full` or pip install"):
        ScenarioFile(tmp_path / "turns.yaml")
    assert len(ScenarioFile(tmp_path / "turns.json").current().turns) == 1
