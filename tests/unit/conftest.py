"""Property tests run the same examples each time without a deadline; `make check` runs fewer."""

from hypothesis import settings

settings.register_profile("unit", deadline=None, max_examples=100, derandomize=True, database=None)
settings.register_profile("check", settings.get_profile("unit"), max_examples=20)
settings.load_profile("unit")
