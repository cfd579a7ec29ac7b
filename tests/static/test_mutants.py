"""Each mutant of tests/mutants applies to the code and refers to an existing fault and test."""

import subprocess

import pytest

from tests.mutants.patches import ROOT, Mutant, mutants, read
from tests.reliability.faults import FAULTS
from tests.reliability.test_faults import exists

MIN_MUTANTS = 30


def test_every_fault_has_a_mutant() -> None:
    assert len(mutants()) >= MIN_MUTANTS
    assert {mutant.fault for mutant in mutants()} == set(FAULTS)


@pytest.mark.parametrize("mutant", mutants(), ids=lambda mutant: mutant.name)
def test_mutant_applies_and_its_test_exists(mutant: Mutant) -> None:
    command = ["git", "apply", "--check", "--unidiff-zero", str(mutant.path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert exists(mutant.test)


def test_patch_without_header_is_rejected() -> None:
    with pytest.raises(ValueError, match="does not begin with"):
        read(ROOT / "pyproject.toml")
