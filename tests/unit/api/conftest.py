"""What handlers would ask to have loaded first is loaded, so that each call of a handler gives the answer itself."""

from tokenfall.api.simulated_provider import RECORDINGS, SCHEMAS, SCRIPTS
from tokenfall.api.simulator import PROFILES

for needed in (PROFILES, RECORDINGS, SCHEMAS, SCRIPTS):
    needed.load()
