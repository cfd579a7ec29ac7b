"""Answers written down beforehand: a file of turns, each with what it matches and what it says.

The format is described in `docs/scenarios.md`. Nothing here is imported until somebody names a script.
"""
