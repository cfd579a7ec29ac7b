"""Settings -> a running server. The only place that chooses implementations."""

from tokenfall.bootstrap.server import Server

__all__ = ["Server"]
