"""The command line: `tokenfall serve`, `record`, `fit` and `health`. Must not handle requests or responses."""

from tokenfall.cli.main import main

__all__ = ["main"]
