"""Scenario files: predefined responses as a list of turns, each with conditions on the request and a response.

The format is described in `docs/scenarios.md`. Imported only when a scenario is selected.
"""
