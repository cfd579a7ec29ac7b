import sys
from pathlib import Path

import pytest

from tokenfall.cli import supervisor
from tokenfall.cli.environment import env_file
from tokenfall.cli.main import USAGE_ERROR, main
from tokenfall.settings import Settings

SHARED_HISTORY = ("--history-url", "sqlite:///chat.db")
"""Several workers need a shared history."""


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PORT", raising=False)


@pytest.mark.parametrize(
    ("flags", "environment", "message"),
    [
        ([], {"PORT": "eighty"}, "PORT: got 'eighty', takes an integer from 0 to 65535"),
        (["--port", "x"], {"PORT": "80"}, "PORT: got 'x', takes an integer from 0 to 65535"),
        ([], {"UPSTREAM_URL": "http://a..example/v1"}, "UPSTREAM_URL: not an http or https address"),
        ([], {"UPSTREAM_URL": "http://a.example:99999"}, "UPSTREAM_URL: not an http or https address"),
        ([], {"UPSTREAM_URL": "https://[nonsense]"}, "UPSTREAM_URL: not an http or https address"),
        *(
            ([], {name: "redis://secret@a.example/x"}, f"{name}: got the database 'x' in a Redis URL; takes a number")
            for name in ("REDIS_URL", "HISTORY_URL", "LIMITS_URL", "TURNS_URL")
        ),
    ],
)
def test_invalid_setting_stops_the_start_with_one_line(
    flags: list[str],
    environment: dict[str, str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert main(["serve", *flags]) == USAGE_ERROR
    assert capsys.readouterr() == ("", f"tokenfall: {message}\n")


@pytest.mark.parametrize(
    ("sim", "why"), [("profile=nope", "nope"), ("script=nope.yml", "nope.yml"), ("script=nope.jsonl", "nope.jsonl")]
)
def test_files_named_by_sim_must_exist(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], sim: str, why: str
) -> None:
    monkeypatch.setenv("SIM", sim)

    assert main(["serve"]) == USAGE_ERROR
    output = capsys.readouterr().err
    assert output.startswith(f"tokenfall: SIM: got {sim!r}: ")
    assert why in output.removeprefix(f"tokenfall: SIM: got {sim!r}: ")
    assert output.count("\n") == 1


def test_env_file_is_read_from_the_working_directory(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(".env").write_text("PORT=from-a-file\n# note\nMODEL='a b'\n", encoding="utf-8")

    assert env_file() == {"PORT": "from-a-file", "MODEL": "a b"}
    assert main(["serve"]) == USAGE_ERROR
    assert "'from-a-file'" in capsys.readouterr().err
    monkeypatch.setenv("PORT", "from-outside")
    assert main(["serve"]) == USAGE_ERROR
    assert "'from-outside'" in capsys.readouterr().err


def test_missing_env_file_is_ignored(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()  # a folder in place of the file

    assert env_file() == {}


def test_arguments_default_to_sys_argv(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["tokenfall", "serve", "--port", "x"])

    assert main() == USAGE_ERROR
    assert "PORT: got 'x'" in capsys.readouterr().err


def test_several_workers_run_under_a_supervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    supervised: list[int] = []

    def supervise(settings: Settings, work: supervisor.Work) -> int:
        supervised.append(settings.workers)
        return 7

    monkeypatch.setattr(supervisor, "supervise", supervise)

    assert main(["serve", "--workers", "3", *SHARED_HISTORY]) == 7
    assert supervised == [3]


@pytest.mark.parametrize(
    "words", [["fit", "x.jsonl"], ["record", "--upstream", "http://localhost", "--out", "x.jsonl"]]
)
def test_command_missing_in_an_image_prints_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    monkeypatch.setitem(sys.modules, f"tokenfall.cli.{words[0]}", None)

    assert main(words) == USAGE_ERROR
    assert capsys.readouterr().err == (
        f"tokenfall: {words[0]}: tokenfall.cli.{words[0]} is missing; "
        "the full container image (target full) includes it\n"
    )
