"""Builds a running server from the settings. The only place that selects implementations."""

from tokenfall.bootstrap.server import Server

__all__ = ["Server"]
