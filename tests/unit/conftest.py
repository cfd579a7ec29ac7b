"""What all unit tests share: property tests that repeat themselves and have no time limit of their own."""

import pytest
from hypothesis import settings

pytest.register_assert_rewrite("tests.contracts.history", "tests.contracts.limits")

settings.register_profile("unit", deadline=None, max_examples=100, derandomize=True, database=None)
settings.load_profile("unit")
