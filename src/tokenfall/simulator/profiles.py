"""Named timing profiles, `profile=groq-70b`, and those that `tokenfall fit` wrote, `profile=FILE.json`.

Where each figure comes from, and which are estimates, stands beside it in `profiles.json`.
"""

from os import path

import msgspec
from msgspec import Struct

from tokenfall.recording.empirical import Empirical, decode

FILE_ENDING = ".json"


class Profile(Struct, frozen=True, forbid_unknown_fields=True):
    """How fast a provider's model answers, in the grammar's own words."""

    ttft: str
    gap: str
    prefill: str
    source: str
    """Where the figures come from, and of when they are."""
    estimated: str
    """Which figures nobody published."""


def named(name: str) -> Profile:
    """Raises ValueError, naming what there is, for any other name."""
    known = every()
    if name not in known:
        raise ValueError(f"there is no profile {name[:40]!r}; there are {', '.join(known)}, and files ending in .json")
    return known[name]


def text_of(name: str) -> str:
    """A named profile in the simulator's grammar: `ttft=…,gap=…,prefill=…`. Raises ValueError as `named`."""
    profile = named(name)
    return f"ttft={profile.ttft},gap={profile.gap},prefill={profile.prefill}"


def every() -> dict[str, Profile]:
    """All named profiles, read anew each time: few ask, and who does not pays nothing."""
    with open(path.join(path.dirname(__file__), "profiles.json"), "rb") as file:
        return msgspec.json.decode(file.read(), type=dict[str, Profile])


def is_file(name: str) -> bool:
    """Whether `profile=` names a file and not a profile."""
    return name.endswith(FILE_ENDING)


def read(name: str) -> Empirical:
    """The profile in a file that `tokenfall fit` wrote. Raises ValueError, also for a file that cannot be read."""
    try:
        with open(name, "rb") as file:
            return decode(file.read())
    except OSError as error:
        raise ValueError(f"the profile {name} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"the profile {name} is none: {error}") from None
