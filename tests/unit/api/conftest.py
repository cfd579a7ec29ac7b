"""Loads every loadable module once, so that handlers return responses and not the module to load first."""

from tokenfall.api.simulated_provider import RECORDINGS, SCHEMAS, SCRIPTS
from tokenfall.api.simulator import PROFILES

for needed in (PROFILES, RECORDINGS, SCHEMAS, SCRIPTS):
    needed.load()
