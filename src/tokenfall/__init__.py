"""Tokenfall: an LLM streaming server that simulates a model or serves one."""

__version__ = "0.1.0"
