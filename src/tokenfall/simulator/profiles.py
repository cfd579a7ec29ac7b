"""Named timing profiles (`profile=groq-70b`), and profiles written by `tokenfall fit` (`profile=FILE.json`).

`profiles.json` gives the source of the figures, and lists those that are estimates.
"""

from os import path

import msgspec
from msgspec import Struct

from tokenfall.recording.empirical import Empirical, decode

FILE_ENDING = ".json"


class Profile(Struct, frozen=True, forbid_unknown_fields=True):
    """The timing of a provider's model, in the notation of the grammar."""

    ttft: str
    gap: str
    prefill: str
    source: str
    """Source and date of the figures."""
    estimated: str
    """Which figures are estimates, because none are published."""


def text_of(name: str) -> str:
    """A named profile in the simulator's grammar: `ttft=…,gap=…,prefill=…`.

    Raises ValueError, which lists the existing names, for an unknown name.
    """
    known = load_profiles()
    if name not in known:
        raise ValueError(f"there is no profile {name[:40]!r}; there are {', '.join(known)}, and files ending in .json")
    profile = known[name]
    return f"ttft={profile.ttft},gap={profile.gap},prefill={profile.prefill}"


def load_profiles() -> dict[str, Profile]:
    """All named profiles. Read on each call, because they are rarely used and would take memory."""
    with open(path.join(path.dirname(__file__), "profiles.json"), "rb") as file:
        return msgspec.json.decode(file.read(), type=dict[str, Profile])


def read(name: str) -> Empirical:
    """The profile in a file written by `tokenfall fit`. Raises ValueError, also if the file cannot be read."""
    try:
        with open(name, "rb") as file:
            return decode(file.read())
    except OSError as error:
        raise ValueError(f"the profile {name} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"the profile {name} is not valid: {error}") from None
