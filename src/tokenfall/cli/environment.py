"""Where settings come from besides flags: the environment and `.env`, and what in them is probably a mistake.

It must never show a value: it may be a key.
"""

from __future__ import annotations

import os
import sys

from tokenfall.settings import InvalidSetting, described

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ENV_FILE = ".env"
PREFIX = "TOKENFALL_"
LEAST_LETTERS = 6
"""In the environment, which has others' names too, a shorter name is near only when two of its letters are swapped."""


def env_file() -> dict[str, str | None]:
    """What `.env` in the working directory says, nothing when there is none. Raises `InvalidSetting`."""
    if not os.path.isfile(ENV_FILE):
        return {}
    from io import StringIO  # noqa: PLC0415 - only who has a .env pays for reading one

    from dotenv import dotenv_values  # noqa: PLC0415
    from dotenv.parser import parse_stream  # noqa: PLC0415

    text = _text()
    for binding in parse_stream(StringIO(text)):
        if binding.error or (binding.key is not None and binding.value is None):
            line = binding.original.line + len(binding.original.string) - len(binding.original.string.lstrip("\n"))
            raise InvalidSetting(f"{ENV_FILE}, line {line}: takes NAME=value, a comment or nothing")
    return dict(dotenv_values(stream=StringIO(text)))


def _text() -> str:
    try:
        with open(ENV_FILE, "rb") as file:
            written = file.read()
    except OSError as error:
        raise InvalidSetting(f"{ENV_FILE}: cannot be read: {error.strerror}") from None
    try:
        return written.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = written.count(b"\n", 0, error.start) + 1
        also = ", which is UTF-16" if written[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
        raise InvalidSetting(f"{ENV_FILE}, line {line}: is not UTF-8{also}; takes a file in UTF-8") from None


def warn_of_near_misses(environment: Mapping[str, str], file: Mapping[str, str | None]) -> None:
    """Write a line for each name that is none of ours, and nearly is one."""
    for where, names, least in (("the environment", environment, LEAST_LETTERS), (ENV_FILE, file, 0)):
        for name, meant in near_misses(names, least=least):
            print(f"tokenfall: {where} has {name}, which is no setting; did you mean {meant}?", file=sys.stderr)


def near_misses(names: Iterable[str], *, least: int) -> list[tuple[str, str]]:
    """Names that are no settings, each with the setting that it is near to."""
    known = [field.upper() for field in described()]
    found = []
    for name in names:
        if name in known:
            continue
        meant = name.removeprefix(PREFIX) if name.startswith(PREFIX) else None
        if meant not in known:
            meant = next((each for each in known if each[0] == name[:1] and _is_near(name, each, least=least)), None)
        if meant is not None:
            found.append((name, meant))
    return found


def _is_near(name: str, known: str, *, least: int) -> bool:
    """Whether two letters are swapped, or one is too many, missing or another."""
    if name == known or abs(len(name) - len(known)) > 1:
        return False
    start = next((at for at, (one, other) in enumerate(zip(name, known, strict=False)) if one != other), None)
    if start is None:
        return len(name) >= least
    rest, known_rest = name[start:], known[start:]
    if rest[:2] == known_rest[1::-1] and rest[2:] == known_rest[2:]:
        return True
    edits = ((rest[1:], known_rest), (rest, known_rest[1:]), (rest[1:], known_rest[1:]))
    return len(name) >= least and any(one == other for one, other in edits)
