"""The command line: `tokenfall serve`, `record`, `fit` and `health`. Knows nothing of requests and responses."""

from tokenfall.cli.main import main

__all__ = ["main"]
