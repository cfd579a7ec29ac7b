"""Generates values for JSON schemas and texts for their patterns, within a budget of steps."""
