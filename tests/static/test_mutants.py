"""The planted faults of tests/mutants fit the code: each applies, and names a fault and a test that exist."""

import subprocess

import pytest

from tests.mutants.patches import ROOT, Mutant, mutants, read
from tests.reliability.faults import FAULTS
from tests.reliability.test_faults import exists

LEAST = 30


def test_there_are_enough_of_them_and_one_for_every_fault() -> None:
    assert len(mutants()) >= LEAST
    assert {mutant.fault for mutant in mutants()} == set(FAULTS)


@pytest.mark.parametrize("mutant", mutants(), ids=lambda mutant: mutant.name)
def test_a_planted_fault_applies_and_names_a_test(mutant: Mutant) -> None:
    command = ["git", "apply", "--check", "--unidiff-zero", str(mutant.path)]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert told.returncode == 0, told.stderr
    assert exists(mutant.test)


def test_a_patch_without_its_header_is_refused() -> None:
    with pytest.raises(ValueError, match="does not begin with"):
        read(ROOT / "pyproject.toml")
