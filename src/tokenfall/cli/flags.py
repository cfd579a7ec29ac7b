"""Names of the flags, and a reader of the usual command line, which needs no argparse."""

from __future__ import annotations

from tokenfall.settings.fields import SETTINGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def flag(field: str) -> str:
    """`--rate-limit-rps` for `rate_limit_rps`."""
    return f"--{field.replace('_', '-')}"


def plain_flags(words: Sequence[str]) -> dict[str, str | None] | None:
    """Flags of `serve` by environment name, if `words` are that command and unabbreviated flags with values.

    None otherwise (help, another command, or an error): argparse has to parse them.
    """
    if words[:1] != ["serve"]:
        return None
    known = {flag(field): field.upper() for field, about in SETTINGS.items() if about.flag}
    flags: dict[str, str | None] = {}
    following = iter(words[1:])
    for word in following:
        name, has_value, value = word.partition("=")
        if not has_value:
            value = next(following, "-")
            if value.startswith("-"):
                return None
        if name not in known:
            return None
        flags[known[name]] = value
    return flags
