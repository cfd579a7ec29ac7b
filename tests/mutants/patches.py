"""The mutants: patches of `src` that each plant one fault, with the test that detects it.

The first line of a patch describes the change. The header fields `Fault:` (an id of `tests/reliability/faults.py`) and
`Test:` (the node id of a test) follow.
"""

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@dataclass(frozen=True)
class Mutant:
    """A patch with its header. `fault` is an id, `test` a node id."""

    path: Path
    description: str
    fault: str
    test: str

    @property
    def name(self) -> str:
        return self.path.stem


def read(path: Path) -> Mutant:
    """Read the header of a patch. Raises ValueError if it is incomplete."""
    header = path.read_text(encoding="utf-8").partition("\n--- ")[0]
    lines = header.splitlines()
    fields = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
    try:
        return Mutant(path, lines[0], fields["Fault"], fields["Test"])
    except (IndexError, KeyError):
        raise ValueError(f"{path.name} does not begin with a description, Fault: and Test:") from None


def mutants() -> list[Mutant]:
    """All mutants, ordered by file name."""
    return [read(path) for path in sorted(HERE.glob("*.patch"))]
