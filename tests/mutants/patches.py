"""The planted faults: patches of `src`, each with the test that catches it.

A patch begins with a line that says what it does, then `Fault:` with an id of `tests/reliability/faults.py`, and
`Test:` with the node id of one test.
"""

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@dataclass(frozen=True)
class Mutant:
    """One planted fault."""

    path: Path
    what: str
    fault: str
    test: str

    @property
    def name(self) -> str:
        return self.path.stem


def read(path: Path) -> Mutant:
    """Raises ValueError for a patch without its header."""
    header = path.read_text(encoding="utf-8").partition("\n--- ")[0]
    lines = header.splitlines()
    fields = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
    try:
        return Mutant(path, lines[0], fields["Fault"], fields["Test"])
    except (IndexError, KeyError):
        raise ValueError(f"{path.name} does not begin with what it does, Fault: and Test:") from None


def mutants() -> list[Mutant]:
    """In the order of their names."""
    return [read(path) for path in sorted(HERE.glob("*.patch"))]
