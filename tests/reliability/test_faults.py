"""Every fault of the catalogue refers to existing tests and has a row in docs/reliability.md."""

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.reliability.faults import FAULTS, Fault
from tests.reliability.rows import ROWS

ROOT = Path(__file__).parents[2]


@cache
def functions(file: str) -> frozenset[str]:
    """The functions of a file; methods have the form `class::function`."""
    module = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    classes = [each for each in module.body if isinstance(each, ast.ClassDef)]
    bodies = {"": module.body, **{f"{each.name}::": each.body for each in classes}}
    return frozenset(
        f"{prefix}{each.name}"
        for prefix, body in bodies.items()
        for each in body
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def exists(test: str) -> bool:
    file, _, function = test.partition("::")
    return (ROOT / file).is_file() and function in functions(file)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_tests_of_each_fault_exist(fault: Fault) -> None:
    assert fault.tests
    assert [test for test in fault.tests if not exists(test)] == []


def test_removed_test_is_detected() -> None:
    assert exists("tests/reliability/test_faults.py::test_removed_test_is_detected")
    assert not exists("tests/reliability/test_faults.py::test_missing")
    assert not exists("tests/reliability/test_missing.py::test_missing")


def test_faults_and_rows_have_the_same_ids() -> None:
    assert {row.id for row in ROWS.values()} == set(FAULTS)
