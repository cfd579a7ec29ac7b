"""The README's snippets, run as they are written: only the port is another. What is printed beside them is compared."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Serve
from tests.end_to_end.process import ServerProcess

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
NODE_MODULES = ROOT / "tests" / "npm" / "node_modules"
PORT = 8080
"""The port that the README's commands name."""

SETTINGS = {"Rate limits": {"RATE_LIMIT_RPS": "0.1"}, "API keys": {"API_KEY": "letmein"}}
"""What the section's server is started with: a limit that a slow machine reaches too, and the key of the section."""

NOT_RUN = re.compile(r"^(?:API_KEY=\w+ )?(?:make|docker)\b")
VARYING = {"Probes", "Rate limits"}
"""Sections whose numbers differ from run to run."""

_PROGRESS = re.compile(r"\s*(?:% Total|Dload|\d+ +\S+ +\d+|$)")
_FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> list[tuple[str, str, str]]:
    """(heading, language, text) of each fenced block."""
    found = []
    for section in re.split(r"^(?=#{2,3} )", README, flags=re.MULTILINE)[1:]:
        heading = section.partition("\n")[0].lstrip("# ")
        found += [(heading, language, text) for language, text in _FENCED.findall(section)]
    return found


BLOCKS = blocks()


def printed() -> list[tuple[str, str, str]]:
    """(heading, commands, what they print) of each block of commands that can be run here."""
    found = []
    for place, (heading, language, text) in enumerate(BLOCKS):
        if language != "sh" or NOT_RUN.match(text):
            continue
        after = BLOCKS[place + 1] if place + 1 < len(BLOCKS) else ("", "", "")
        expected = after[2] if after[:2] == (heading, "text") else ""
        found.append((heading, text, expected))
    return found


COMMANDS = printed()


def of(language: str) -> list[tuple[str, str]]:
    return [(heading, text) for heading, each, text in BLOCKS if each == language]


def here(text: str, server: ServerProcess) -> str:
    return text.replace(f"127.0.0.1:{PORT}", f"127.0.0.1:{server.port}")


def run(words: list[str], folder: Path) -> str:
    """What was printed, as on a terminal: there curl shows no progress, and only its errors."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    errors = [line for line in done.stderr.splitlines() if not _PROGRESS.match(line)]
    return "\n".join([*errors, done.stdout.replace("\r", "")])


def differences(sent: str, expected: str) -> list[str]:
    """Lines of `expected` that are not in `said`, in order; `...` stands for the rest of a line or for any lines."""
    lines = iter(sent.splitlines())
    missing = []
    for line in expected.splitlines():
        if line == "...":
            continue
        pattern = ".*".join(map(re.escape, line.split("...")))
        if not any(re.fullmatch(pattern, each) for each in lines):
            missing.append(line)
    return missing


def test_a_difference_is_seen() -> None:
    assert differences("a\nb 1\nc\n", "a\n...\nb ...\nc\n") == []
    assert differences("a\nb\n", "b\na\n") == ["a"]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("section", list(dict.fromkeys(heading for heading, _, _ in COMMANDS)))
def test_readme_commands_print_the_shown_output(serve: Serve, tmp_path: Path, section: str) -> None:
    server = serve(**SETTINGS.get(section, {}))
    for heading, commands, expected in COMMANDS:
        if heading != section:
            continue
        output = run(["bash", "-c", here(commands, server)], tmp_path)
        if section in VARYING:
            output, expected = (re.sub(r"[\d.]+", "N", text) for text in (output, expected))  # noqa: PLW2901
            expected = expected.replace('tokenfall_streams_ended_total{outcome="left"} N\n', "")  # noqa: PLW2901
        assert output.strip(), commands
        assert differences(output, expected) == [], output


@pytest.mark.timeout(240)  # a pytest in a pytest, and a client library
@pytest.mark.parametrize("number", range(len(of("python"))))
def test_the_python_runs(tmp_path: Path, number: int) -> None:
    _, text = of("python")[number]
    is_test = "def test_" in text
    file = tmp_path / ("test_readme_snippet.py" if is_test else "snippet.py")
    file.write_text(text, encoding="utf-8")
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", file.name] if is_test else [file.name]
    output = run([sys.executable, *command], tmp_path)

    assert ("1 passed" if is_test else 'data: {"content":"Large ","finish":false}') in output, output


@pytest.mark.parametrize("number", range(len(of("js"))))
def test_readme_javascript_runs(serve: Serve, tmp_path: Path, number: int) -> None:
    node = shutil.which("node")
    assert node, "node is missing: scripts/system-packages test"
    _, text = of("js")[number]
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    (tmp_path / "snippet.mjs").write_text(here(text, serve(SIM="gap=1ms")), encoding="utf-8")
    output = run([node, "snippet.mjs"], tmp_path)

    for word in ("Large", "language", "models"):
        assert word in output, output


def test_examples_need_only_their_requirements() -> None:
    needed = (ROOT / "examples" / "requirements.txt").read_text(encoding="utf-8")
    names = {re.split(r"[>=<]", line)[0] for line in needed.split()}
    imported = set()
    for file in sorted((ROOT / "examples").glob("*.py")):
        imported |= set(re.findall(r"^(?:import|from) (\w+)", file.read_text(encoding="utf-8"), re.MULTILINE))

    assert imported - set(sys.stdlib_module_names) - {"pytest", "tokenfall"} == names
