"""Run the README's snippets unchanged except for the port, and compare the printed output."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped,unused-ignore]

from tokenfall.cli.greeting import greeting
from tokenfall.settings import Settings, load

from tests.end_to_end.conftest import Serve
from tests.end_to_end.process import ServerProcess

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
NODE_MODULES = ROOT / "tests" / "npm" / "node_modules"
PORT = 8080
"""The port in the README's commands."""

SETTINGS = {
    "Start": {"SIM": "gap=1ms"},
    "Provider SDKs": {"SIM": "gap=1ms"},
    "Rate limits": {"RATE_LIMIT_RPS": "0.1"},
    "API keys": {"API_KEY": "letmein"},
}
"""Server settings by section: no delays, a limit that a slow machine reaches too, and an API key."""

NOT_RUN = re.compile(r"^(?:API_KEY=\w+ )?(?:make|docker|pip)\b")
"""Checked by `test_readme_commands_exist`; `tests/containers` and `tests/packaging` run docker and pip."""
PYTEST_OUTPUT = "... 6 passed in ...\n"
VARYING = {"Probes", "Rate limits"}
"""Sections whose output has varying numbers."""

_PROGRESS = re.compile(r"\s*(?:% Total|Dload|\d+ +\S+ +\d+|$)")
_FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> list[tuple[str, str, str]]:
    """Yield (heading, language, text) of each fenced block."""
    found = []
    for section in re.split(r"^(?=#{2,3} )", README, flags=re.MULTILINE)[1:]:
        heading = section.partition("\n")[0].lstrip("# ")
        found += [(heading, language, text) for language, text in _FENCED.findall(section)]
    return found


BLOCKS = blocks()


def command_blocks() -> list[tuple[str, str, str]]:
    """Yield (heading, commands, expected output) of each runnable block of commands."""
    found = []
    for place, (heading, language, text) in enumerate(BLOCKS):
        if language != "sh" or NOT_RUN.match(text):
            continue
        after = BLOCKS[place + 1] if place + 1 < len(BLOCKS) else ("", "", "")
        expected = after[2] if after[:2] == (heading, "text") else ""
        found.append((heading, text, expected))
    return found


COMMANDS = command_blocks()


def settings_blocks() -> list[str]:
    """The blocks of settings for `.env`."""
    return [text for _, language, text in BLOCKS if language == "text" and re.match(r"[A-Z_]+=", text)]


def blocks_of(language: str) -> list[tuple[str, str]]:
    return [(heading, text) for heading, each, text in BLOCKS if each == language]


def with_port(text: str, server: ServerProcess) -> str:
    return text.replace(f"127.0.0.1:{PORT}", f"127.0.0.1:{server.port}")


def run(words: list[str], folder: Path) -> str:
    """Return the output as on a terminal, without curl's progress meter."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    errors = [line for line in done.stderr.splitlines() if not _PROGRESS.match(line)]
    return "\n".join([*errors, done.stdout.replace("\r", "")])


def differences(output: str, expected: str) -> list[str]:
    """Return lines of `expected` missing in `output`, in order; `...` matches the rest of a line or any lines."""
    lines = iter(output.splitlines())
    missing = []
    for line in expected.splitlines():
        if line == "...":
            continue
        pattern = ".*".join(map(re.escape, line.split("...")))
        if not any(re.fullmatch(pattern, each) for each in lines):
            missing.append(line)
    return missing


def test_differences_reports_missing_lines() -> None:
    assert differences("a\nb 1\nc\n", "a\n...\nb ...\nc\n") == []
    assert differences("a\nb\n", "b\na\n") == ["a"]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("section", list(dict.fromkeys(heading for heading, _, _ in COMMANDS)))
def test_readme_commands_print_the_shown_output(serve: Serve, tmp_path: Path, section: str) -> None:
    server = serve(SIM_FILES=str(tmp_path), **SETTINGS.get(section, {}))
    for heading, commands, expected in COMMANDS:
        if heading != section:
            continue
        output = run(["bash", "-c", with_port(commands, server)], tmp_path)
        if section in VARYING:
            output, expected = (re.sub(r"[\d.]+", "N", text) for text in (output, expected))  # noqa: PLW2901
            expected = expected.replace('tokenfall_streams_ended_total{outcome="left"} N\n', "")  # noqa: PLW2901
        assert output.strip(), commands
        assert differences(output, expected) == [], output


def test_readme_has_no_block_that_no_test_checks() -> None:
    assert {language for _, language, _ in BLOCKS} == {"sh", "text", "python", "js"}
    outputs = {expected for _, _, expected in COMMANDS}
    unchecked = [text for _, language, text in BLOCKS if language == "text" and text not in outputs]

    assert [text for text in unchecked if text not in settings_blocks()] == [
        greeting(f"http://127.0.0.1:{PORT}", Settings()) + "\n",
        PYTEST_OUTPUT,
    ]


def test_readme_settings_are_valid() -> None:
    assert len(settings_blocks()) >= 3
    for text in settings_blocks():
        assert load(dict(line.split("=", 1) for line in text.splitlines())).upstream, text


def test_readme_commands_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    services = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    commands = re.findall(r"^(?:- `|\| `|API_KEY=\w+ )?(make|docker compose)\b([^\n`#]*)", README, re.MULTILINE)
    assert {"make", "docker compose"} == {program for program, _ in commands}
    for program, words in commands:
        named = [word for word in words.split() if re.fullmatch("[a-z]+", word)]
        if program == "make":
            assert named[:1] == [] or named[0] in targets, words
            continue
        profile, service = (named[0], named[-1]) if "--profile" in words else (None, "simulator")
        assert services[service].get("profiles") == (None if profile is None else [profile]), words


@pytest.mark.parametrize("number", range(len(blocks_of("js"))))
def test_readme_javascript_runs(serve: Serve, tmp_path: Path, number: int) -> None:
    node = shutil.which("node")
    assert node, "node is missing: scripts/system-packages test"
    _, text = blocks_of("js")[number]
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    (tmp_path / "snippet.mjs").write_text(with_port(text, serve(SIM="gap=1ms")), encoding="utf-8")
    output = run([node, "snippet.mjs"], tmp_path)

    for word in ("Large", "language", "models"):
        assert word in output, output
