"""Fuzz one target with atheris: `python -m tests.fuzz TARGET SECONDS`.

The initial corpus are the seeds of `tests/fuzz/seeds`. A failing input ends the run with status 77 and is written to
`build/fuzz`. Fix the defect and add the input to the seeds.
"""

import sys
from pathlib import Path

import atheris

ROOT = Path(__file__).parents[2]
MAX_INPUT_BYTES = 1_024

with atheris.instrument_imports(include=["tokenfall"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    target, seconds = sys.argv[1:]
    artifacts = ROOT / "build" / "fuzz" / target
    corpus = artifacts / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    atheris.Setup(
        [
            sys.argv[0],
            f"-max_total_time={seconds}",
            f"-max_len={MAX_INPUT_BYTES}",
            f"-artifact_prefix={artifacts}/",
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
