"""Builds the load generator and the reference servers into benchmarks/.build."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measurement import NotMeasured

HERE = Path(__file__).parent
BUILD = HERE / ".build"
GO_DIRECTORIES = ("/usr/local/go/bin", "/usr/lib/go/bin")
C_PROGRAMS = {"streamload": ["streamload.c", "response.c"], "floor": ["floor.c"]}
GO_PROGRAMS = ("gosim", "gorelay", "tlsfloor")


@dataclass(frozen=True)
class Toolchain:
    """The programs of a run by name, and the reasons for missing ones."""

    programs: dict[str, Path]
    missing: dict[str, str]

    def program(self, name: str) -> str:
        if name in self.missing:
            raise NotMeasured(self.missing[name])
        return str(self.programs[name])


def make_toolchain() -> Toolchain:
    BUILD.mkdir(exist_ok=True)
    tools = Toolchain({}, {})
    for name, (command, cwd) in _builds().items():
        _build(tools, name, command=command, cwd=cwd)
    if wrk := _find("wrk"):
        tools.programs["wrk"] = Path(wrk)
    else:
        tools.missing["wrk"] = "wrk is not installed"
    return tools


def _builds() -> dict[str, tuple[list[str], Path]]:
    """By program: the command that builds it, and the folder to run that in."""
    load, peers = HERE / "load", HERE / "peers"
    with_gcc = {
        name: (["gcc", "-O2", "-Wall", "-static", "-o", str(BUILD / name), *sources, "-lm"], load)
        for name, sources in C_PROGRAMS.items()
    }
    with_go = {name: (["go", "build", "-o", str(BUILD / name), "."], peers / name) for name in GO_PROGRAMS}
    return with_gcc | with_go


def _build(tools: Toolchain, name: str, *, command: list[str], cwd: Path) -> None:
    compiler = _find(command[0])
    if not compiler:
        tools.missing[name] = f"{command[0]}, which builds {name}, is not installed"
        return
    # Go must not download a toolchain. All programs are linked statically, for images without libraries.
    environment = {**os.environ, "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}
    done = subprocess.run(
        [compiler, *command[1:]], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        tools.programs[name] = BUILD / name
    else:
        print(done.stderr)
        tools.missing[name] = f"building {name} failed"


def _find(tool: str) -> str | None:
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *GO_DIRECTORIES])
    return shutil.which(tool, path=path)
