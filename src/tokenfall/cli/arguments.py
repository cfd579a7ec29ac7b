"""Parses every command line, with help and error messages. Imported only for those that `plain_flags` cannot read."""

import argparse
import os
from collections.abc import Sequence
from typing import Any, NoReturn

from tokenfall import __version__
from tokenfall.cli.environment import is_near
from tokenfall.cli.flags import flag
from tokenfall.settings.fields import defaults, setting_fields
from tokenfall.settings.loading import format_default

DEFAULT_COLUMNS = 80


def parse(words: Sequence[str]) -> dict[str, str | None]:
    """The given flags. Exits with status 2 and a usage line on an error, with 0 after --help and --version."""
    return flags_of(read(words))


def read(words: Sequence[str]) -> argparse.Namespace:
    """The command and its arguments. Exits as `parse`."""
    return parser().parse_args(words)


def flags_of(arguments: argparse.Namespace) -> dict[str, str | None]:
    """The flags of `serve`."""
    return {name.upper(): value for name, value in vars(arguments).items() if name != "command"}


class _Help(argparse.HelpFormatter):
    """As wide as the terminal. argparse would import shutil for that, which the image `simulator` does not contain."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2)


def _columns() -> int:
    given = os.environ.get("COLUMNS", "")
    if given.isascii() and given.isdigit() and int(given):
        return int(given)
    try:
        return os.get_terminal_size().columns or DEFAULT_COLUMNS
    except OSError:  # not a terminal
        return DEFAULT_COLUMNS


class _Parser(argparse.ArgumentParser):
    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - those of the base class
        super().__init__(formatter_class=_Help, **options)

    def error(self, message: str) -> NoReturn:
        _, unknown, words = message.partition("unrecognized arguments: ")
        super().error(message + (_suggestion(words.split()[0]) if unknown else ""))


def _suggestion(word: str) -> str:
    """The suggestion for an unknown flag."""
    flags = [flag(field) for field, about in setting_fields().items() if about.flag]
    given = word.partition("=")[0].replace("_", "-").lower()
    near = [known for known in flags if known == given or is_near(given, known)]
    near += [known for known in flags if len(given) > len("--x") and known.startswith(given)]
    return f"; did you mean {near[0]}?" if near else "; tokenfall serve --help lists all flags"


def parser() -> argparse.ArgumentParser:
    """The parser; `serve` has one flag for each setting that may be a flag."""
    root = _Parser(prog="tokenfall", description="An LLM streaming server: simulates a model or serves one.")
    root.add_argument("--version", action="version", version=f"tokenfall {__version__}")
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = commands.add_parser(
        "serve",
        help="start the server",
        description="Start the server. A flag may also be set in the environment or in .env, by its name in brackets. "
        "SIGTERM, SIGINT, SIGHUP and SIGQUIT drain it; a second one ends it at once.",
        allow_abbrev=False,
    )
    values = defaults()
    for field, about in setting_fields().items():
        if about.flag:
            text = (
                f"{about.help}; {about.kind.takes} [{field.upper()}] (default: {format_default(field, values[field])})"
            )
            command.add_argument(flag(field), metavar="VALUE", help=text.replace("%", "%%"))
    for add in (add_record, add_fit):
        add(commands)
    commands.add_parser("health", help="check that the server at HOST and PORT of the environment responds")
    return root


def add_record(commands: "argparse._SubParsersAction[_Parser]") -> None:
    """`tokenfall record`."""
    command = commands.add_parser(
        "record",
        help="relay real traffic and record it",
        description="Relay requests to a provider unchanged, and append each request, its response and their times to "
        "a file, without secrets. The simulator replays the file (script=FILE); `tokenfall fit` computes a timing "
        "profile from it.",
        allow_abbrev=False,
    )
    command.add_argument(
        "--upstream", required=True, metavar="URL", help="base address: https://api.groq.com/openai/v1"
    )
    command.add_argument("--out", required=True, metavar="FILE", help="file to append exchanges to; ends in .jsonl")
    command.add_argument("--host", default="127.0.0.1", metavar="HOST", help="to listen on (default: 127.0.0.1)")
    command.add_argument("--port", default=8081, type=_port, metavar="PORT", help="to listen on (default: 8081)")
    command.add_argument(
        "--key-env",
        metavar="NAME",
        help="environment variable with the provider's key; without it, clients send their own",
    )


def add_fit(commands: "argparse._SubParsersAction[_Parser]") -> None:
    """`tokenfall fit`."""
    command = commands.add_parser(
        "fit",
        help="make a timing profile from a recording",
        description="Show the timing of the recorded streams, and write it as a profile for the simulator "
        "(profile=FILE).",
        allow_abbrev=False,
    )
    command.add_argument("recording", metavar="FILE", help="file written by `tokenfall record`")
    command.add_argument("--out", metavar="FILE", help="file for the profile; ends in .json")


def _port(text: str) -> int:
    value = int(text) if text.isascii() and text.isdigit() else -1
    if not 0 <= value <= 65_535:
        raise argparse.ArgumentTypeError(f"got {text!r}, takes an integer from 0 to 65535")
    return value
