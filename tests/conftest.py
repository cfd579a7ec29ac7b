"""What all tests share: asserts in modules that are imported by tests, and are none themselves, say what they saw."""

import pytest

pytest.register_assert_rewrite("tests.contracts", "tests.end_to_end", "tests.stores", "tests.doubles")
