"""Fuzz one target with atheris: `python -m tests.fuzz TARGET SECONDS`.

It begins with the seeds of `tests/fuzz/seeds`. An input that fails ends the run with status 77 and is written to
`build/fuzz`: mend what it shows, and keep it as a seed.
"""

import sys
from pathlib import Path

import atheris

ROOT = Path(__file__).parents[2]
MOST_BYTES = 1_024

with atheris.instrument_imports(include=["tokenfall"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    target, seconds = sys.argv[1:]
    found = ROOT / "build" / "fuzz" / target
    corpus = found / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    atheris.Setup(
        [
            sys.argv[0],
            f"-max_total_time={seconds}",
            f"-max_len={MOST_BYTES}",
            f"-artifact_prefix={found}/",
            "-print_final_stats=1",
            f"-dict={Path(__file__).parent / f'{target}.dict'}",
            str(corpus),
            str(Path(__file__).parent / "seeds" / target),
        ],
        TARGETS[target],
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
