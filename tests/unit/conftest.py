"""What all unit tests share: property tests that repeat themselves and have no time limit of their own."""

from hypothesis import settings

settings.register_profile("unit", deadline=None, max_examples=100, derandomize=True, database=None)
settings.load_profile("unit")
