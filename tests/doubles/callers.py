"""Callers of servers with and without API keys."""

from tokenfall.api.addresses import TrustedProxies
from tokenfall.api.guard import Callers, Keys


def callers(*keys: str) -> Callers:
    """Known by these keys, or else by their addresses."""
    return Callers(Keys(keys), TrustedProxies(()))
