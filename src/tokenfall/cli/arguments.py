"""The command line's words -> settings by their environment names. Imported only when there is a word to read."""

import argparse
from collections.abc import Sequence

from tokenfall import __version__
from tokenfall.settings import defaults, described, shown


def parse(words: Sequence[str]) -> dict[str, str | None]:
    """The flags that were given. Exits with status 2 and a usage line on a mistake, 0 after --help and --version."""
    arguments = parser().parse_args(words)
    return {name.upper(): value for name, value in vars(arguments).items() if name != "command"}


def parser() -> argparse.ArgumentParser:
    """The whole command line; one flag for each setting that may be one."""
    root = argparse.ArgumentParser(
        prog="tokenfall", description="An LLM streaming server: simulates a model or serves one."
    )
    root.add_argument("--version", action="version", version=f"tokenfall {__version__}")
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = commands.add_parser(
        "serve",
        help="start the server",
        description="Start the server. A flag may also be set in the environment or in .env, by its name in brackets.",
        allow_abbrev=False,
    )
    values = defaults()
    for field, about in described().items():
        if about.flag:
            text = f"{about.help}; {about.kind.takes} [{field.upper()}] (default: {shown(field, values[field])})"
            command.add_argument(flag(field), metavar="VALUE", help=text.replace("%", "%%"))
    return root


def flag(field: str) -> str:
    """`--rate-limit-rps` for `rate_limit_rps`."""
    return f"--{field.replace('_', '-')}"
