"""The command line: `tokenfall serve`."""

from tokenfall.cli.main import main

__all__ = ["main"]
