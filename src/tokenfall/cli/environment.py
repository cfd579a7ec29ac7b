"""Reads `.env`, and warns of misspelled settings in it and in the environment.

It must never show a value, which may be a key.
"""

from __future__ import annotations

import os
import sys

from tokenfall.installation import FULL_IMAGE_HINT
from tokenfall.settings import InvalidSetting
from tokenfall.settings.fields import SETTINGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tokenfall.settings import Settings

ENV_FILE = ".env"
PREFIX = "TOKENFALL_"
OTHER_NAMES = {"OPENAI_BASE_URL": "UPSTREAM_URL", "OPENAI_API_BASE": "UPSTREAM_URL"}
"""Names that client libraries use for a setting; in `.env` they are meant for this server."""
MIN_LETTERS = 6
"""A shorter name in the environment counts as misspelled only if two letters are swapped: most short names belong to
other programs."""


def env_file() -> dict[str, str | None]:
    """The variables of `.env` in the working directory; empty without that file. Raises `InvalidSetting`."""
    if not os.path.lexists(ENV_FILE) or os.path.isdir(ENV_FILE):  # a folder may be a virtual environment
        return {}
    from io import StringIO  # noqa: PLC0415 - only needed with a .env file

    try:
        from dotenv import dotenv_values  # noqa: PLC0415
        from dotenv.parser import parse_stream  # noqa: PLC0415
    except ModuleNotFoundError:
        raise InvalidSetting(
            f"{ENV_FILE}: cannot be read without python-dotenv; set environment variables{FULL_IMAGE_HINT}"
        ) from None

    text = _text()
    for binding in parse_stream(StringIO(text)):
        if binding.error or (binding.key is not None and binding.value is None):
            line = binding.original.line + len(binding.original.string) - len(binding.original.string.lstrip("\n"))
            raise InvalidSetting(f"{ENV_FILE}, line {line}: takes NAME=value, a comment or an empty line")
    return dict(dotenv_values(stream=StringIO(text)))


def _text() -> str:
    try:
        with open(ENV_FILE, "rb") as file:
            content = file.read()
    except OSError as error:
        raise InvalidSetting(f"{ENV_FILE}: cannot be read: {error.strerror}") from None
    content = content.removeprefix(b"\xef\xbb\xbf")  # a byte order mark
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        encoding = " but UTF-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
        raise InvalidSetting(f"{ENV_FILE}, line {line}: is not UTF-8{encoding}; takes a file in UTF-8") from None


def warn_of_unused_keys(settings: Settings, file: Mapping[str, str | None]) -> None:
    """Print a line for each key of an upstream that is set without one: the user may expect a model, not the simulator.

    OPENAI_API_KEY in the environment is meant for other programs.
    """
    if settings.upstream is not None:
        return
    names = ["UPSTREAM_API_KEY"] if settings.upstream_api_key else []
    names += ["OPENAI_API_KEY"] if file.get("OPENAI_API_KEY") else []
    for name in names:
        print(f"tokenfall: {name} has no effect without UPSTREAM_URL; the simulator responds", file=sys.stderr)


def warn_of_misspelled_settings(environment: Mapping[str, str], file: Mapping[str, str | None]) -> None:
    """Print a line for each name that looks like a misspelled setting."""
    for where, names, least in (("the environment", environment, MIN_LETTERS), (ENV_FILE, file, 0)):
        for name, meant in misspelled_settings(names, least=least):
            print(f"tokenfall: {where} has {name}, which is not a setting; did you mean {meant}?", file=sys.stderr)


def misspelled_settings(names: Iterable[str], *, least: int) -> list[tuple[str, str]]:
    """Pairs of an unknown name and the setting that it resembles."""
    known = [field.upper() for field in SETTINGS]
    found = []
    for name in names:
        if name in known:
            continue
        meant = name.removeprefix(PREFIX) if name.startswith(PREFIX) else None
        if least == 0:
            meant = OTHER_NAMES.get(name, meant)
        if meant not in known:
            meant = next((each for each in known if each[0] == name[:1] and is_near(name, each, least=least)), None)
        if meant is not None:
            found.append((name, meant))
    return found


def is_near(name: str, known: str, *, least: int = 0) -> bool:
    """Whether the names differ by two swapped letters, or by one inserted, missing or replaced letter."""
    if name == known or abs(len(name) - len(known)) > 1:
        return False
    start = next((at for at, (one, other) in enumerate(zip(name, known, strict=False)) if one != other), None)
    if start is None:
        return len(name) >= least
    suffix, known_suffix = name[start:], known[start:]
    if suffix[:2] == known_suffix[1::-1] and suffix[2:] == known_suffix[2:]:
        return True
    edits = ((suffix[1:], known_suffix), (suffix, known_suffix[1:]), (suffix[1:], known_suffix[1:]))
    return len(name) >= least and any(one == other for one, other in edits)
