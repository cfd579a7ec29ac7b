"""Caller identification with and without API keys."""

from tokenfall.api.addresses import TrustedProxies
from tokenfall.api.guard import Callers, Keys


def callers(*keys: str) -> Callers:
    """Return a `Callers` that identifies callers by these keys, or by address if there are none."""
    return Callers(Keys(keys), TrustedProxies(()))
