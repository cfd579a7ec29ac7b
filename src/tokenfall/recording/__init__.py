"""Exchanges with a provider: recorded, redacted, found again, replayed, measured."""
