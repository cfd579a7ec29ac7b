"""The import contracts of pyproject.toml detect forbidden imports.

Each case adds imports to an otherwise empty package with the modules that the contracts name, and runs import-linter.
`make lint` checks the real code against the same contracts.
"""

import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT_IMPORTS = Path(sysconfig.get_path("scripts")) / "lint-imports"
LAYERS = "Imports point down only"
CYCLES = "Modules of a package do not import each other in a circle"
PURITY = "Pure modules have no clock, no socket and no loop"

MODULES = [
    "__main__",
    "api.routes",
    "bootstrap",
    "turns.turn",
    "cli.serve",
    "http.connection",
    "simulator.schema.pattern_chars",
    "simulator.schema.pattern_lengths",
    "simulator.schema.pattern_match",
    "simulator.schema.pattern_text",
    "simulator.schema.patterns",
    "simulator.schema.sampler",
    "simulator.schema.budget",
    "simulator.schema.flattening",
    "simulator.schema.keywords",
    "simulator.schema.references",
    "simulator.schema.scalars",
    "simulator.engine",
    "simulator.structured_output",
    "errors",
    "events",
    "health_check",
    "history.memory",
    "installation",
    "limits.bucket",
    "limits.memory",
    "messages",
    "metrics.registry",
    "metrics.history",
    "metrics.sampler",
    "metrics.shared",
    "recording.empirical",
    "simulator.concurrency",
    "simulator.fault_plan",
    "simulator.gates",
    "simulator.values",
    "simulator.format_grammar",
    "simulator.grammar",
    "simulator.timing",
    "simulator.tool_choice",
    "disconnect",
    "imports",
    "json_text",
    "records",
    "logs.formatters",
    "redis.lua",
    "ports",
    "reactor.loop",
    "reactor.wheel",
    "callers",
    "redis.calls",
    "redis.url",
    "memory.leases",
    "memory.shares",
    "settings",
    "slicing.computation",
    "slicing.scheduler",
    "testing.server",
    "threads",
    "tokens",
    "chat.service",
    "conversations",
    "rate_limit",
    "turns.redis",
    "upstream.connection",
    "utf8",
    "wire.sse",
]
PURE = [
    "simulator.schema.patterns",
    "simulator.schema.sampler",
    "simulator.structured_output",
    "errors",
    "events",
    "limits.bucket",
    "messages",
    "recording.empirical",
    "simulator.grammar",
    "simulator.timing",
    "slicing.computation",
    "tokens",
    "wire.sse",
]
IMPURE = ["asyncio", "logging", "os", "socket", "time"]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    package = tmp_path / "tokenfall"
    for module in MODULES:
        path = package.joinpath(*module.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        (path.parent / "__init__.py").touch()
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return package


def add_lines(package: Path, module: str, *lines: str) -> None:
    with package.joinpath(*module.split(".")).with_suffix(".py").open("a", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)


def lint(package: Path) -> subprocess.CompletedProcess[str]:
    command = [str(LINT_IMPORTS), "--no-cache", "--no-logo"]
    return subprocess.run(command, cwd=package.parent, capture_output=True, text=True, check=False)


def broken_contracts(package: Path) -> set[str]:
    run = lint(package)
    broken = {name for name in (LAYERS, CYCLES, PURITY) if f"{name} BROKEN" in run.stdout}
    kept = {name for name in (LAYERS, CYCLES, PURITY) if f"{name} KEPT" in run.stdout}
    assert broken | kept == {LAYERS, CYCLES, PURITY}, run.stdout + run.stderr
    assert (run.returncode != 0) == bool(broken)
    return broken


def test_imports_down_the_layers_are_allowed(package: Path) -> None:
    add_lines(package, "__main__", "import tokenfall.cli.serve")
    add_lines(package, "cli.serve", "import tokenfall.bootstrap", "import tokenfall.settings")
    add_lines(package, "bootstrap", "import tokenfall.settings", "import tokenfall.api.routes")
    add_lines(package, "api.routes", "import tokenfall.chat.service", "import tokenfall.http.connection")
    add_lines(package, "chat.service", "import tokenfall.history.memory", "import tokenfall.turns.turn")
    add_lines(package, "simulator.engine", "import tokenfall.simulator.timing", "import tokenfall.wire.sse")
    add_lines(
        package, "http.connection", "import asyncio", "import tokenfall.metrics.registry", "import tokenfall.logs"
    )
    add_lines(package, "messages", "import tokenfall.errors")
    add_lines(package, "events", "import tokenfall.messages")
    add_lines(package, "reactor.wheel", "import time", "import tokenfall.logs", "import tokenfall.metrics.registry")
    add_lines(package, "http.connection", "import tokenfall.reactor.loop")

    assert broken_contracts(package) == set()


FORBIDDEN = [
    ("bootstrap", "cli.serve"),
    ("bootstrap", "testing.server"),
    ("testing.server", "cli.serve"),
    ("settings", "bootstrap"),
    ("api.routes", "settings"),
    ("chat.service", "settings"),
    ("simulator.engine", "settings"),
    ("simulator.engine", "history.memory"),
    ("history.memory", "limits.memory"),
    ("limits.memory", "turns.turn"),
    ("wire.sse", "simulator.timing"),
    ("wire.sse", "upstream.connection"),
    ("upstream.connection", "simulator.engine"),
    ("reactor.loop", "http.connection"),
    ("http.connection", "simulator.timing"),
    ("http.connection", "wire.sse"),
    ("http.connection", "api.routes"),
    ("metrics.registry", "reactor.wheel"),
    ("logs.formatters", "metrics.registry"),
    ("metrics.registry", "http.connection"),
    ("ports", "metrics.registry"),
    ("errors", "ports"),
]


def test_imports_up_or_sideways_break_the_contract(package: Path) -> None:
    for module, imported in FORBIDDEN:
        add_lines(package, module, f"import tokenfall.{imported}")
    report = lint(package).stdout

    for importer, imported in ((module.partition(".")[0], other.partition(".")[0]) for module, other in FORBIDDEN):
        assert f"tokenfall.{importer} is not allowed to import tokenfall.{imported}:" in report


def test_import_inside_a_function_breaks_the_contract(package: Path) -> None:
    add_lines(package, "http.connection", "def late() -> None:", "    from tokenfall.settings import Settings")

    assert broken_contracts(package) == {LAYERS}


def test_module_outside_the_layers_breaks_the_contract(package: Path) -> None:
    (package / "utils.py").touch()

    assert broken_contracts(package) == {LAYERS}


def test_circle_within_a_package_breaks_the_contract(package: Path) -> None:
    add_lines(package, "metrics.registry", "import tokenfall.metrics.sampler")
    add_lines(package, "metrics.sampler", "import tokenfall.metrics.history")
    add_lines(package, "metrics.history", "import tokenfall.metrics.registry")

    assert broken_contracts(package) == {CYCLES}


def test_pure_module_may_not_import_clock_socket_or_loop(package: Path) -> None:
    for module in PURE:
        add_lines(package, module, *(f"import {impure}" for impure in IMPURE))
    report = lint(package).stdout

    for module in PURE:
        for impure in IMPURE:
            assert f"tokenfall.{module} -> {impure}" in report
