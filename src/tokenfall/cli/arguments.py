"""Parses every command line, with help and error messages. Imported only for those that `plain_flags` cannot read."""

import argparse
import os
from collections.abc import Sequence
from typing import Any, NoReturn

from tokenfall import __version__
from tokenfall.cli.environment import is_near
from tokenfall.cli.flags import flag
from tokenfall.settings.fields import SETTINGS
from tokenfall.settings.loading import format_value

DEFAULT_COLUMNS = 80
COMMANDS = ("serve", "record", "fit", "health")
ROOT_FLAGS = ("--help", "--version")


def parse(words: Sequence[str]) -> argparse.Namespace:
    """The command and its arguments. Exits with status 2 and one line on an error, with 0 after --help or --version."""
    root = parser()
    if words and words[0].startswith("--") and words[0] not in ROOT_FLAGS:
        root.error("flags follow the command, as in tokenfall serve --port 9000")
    return root.parse_args(words)


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
    """Reports each error in one line: the usage that argparse prints before it has 30 lines for `serve`."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - those of the base class
        self.flags: list[str] = []
        super().__init__(formatter_class=_Help, **options)

    def add_argument(self, *names: Any, **options: Any) -> argparse.Action:  # noqa: ANN401 - those of the base class
        self.flags += names
        return super().add_argument(*names, **options)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:  # noqa: ANN401 - those of the base class
        """Report unknown words here, because the parser of a command knows the flags that may be meant."""
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(_unknown(unknown, flags=self.flags))
        return parsed, unknown

    def error(self, message: str) -> NoReturn:
        name, is_missing, _ = message.removeprefix("argument ").partition(": expected one argument")
        if is_missing:
            message = _missing(name)
        elif message.startswith("argument COMMAND: invalid choice"):
            message = f"unknown command; takes {', '.join(COMMANDS)}"
        elif message.endswith("required: COMMAND"):
            message = f"takes a command: {', '.join(COMMANDS)}"
        self.exit(2, f"tokenfall: {message}{'' if message.endswith('?') else f'; see {self.prog} --help'}\n")


def _missing(name: str) -> str:
    """The message about a flag without its value."""
    about = SETTINGS.get(_field(name))
    return f"{name}: got no value, takes {about.kind.takes if about else 'one value'}"


def _unknown(words: list[str], *, flags: list[str]) -> str:
    """The message about unknown words. Shows no value, which may be a key."""
    name = next((word.partition("=")[0] for word in words if word.strip("-") and word.startswith("-")), None)
    if name is None:
        return "got a value without its flag, takes --FLAG VALUE"
    about = SETTINGS.get(_field(name))
    if about is not None and not about.flag:
        return (
            f"{name} is not a flag, because other users of the machine could see it; set {_field(name).upper()} instead"
        )
    near = _nearest(name, [known for known in flags if known.startswith("--")])
    return f"unknown flag {name}" + (f"; did you mean {near}?" if near else "")


def _nearest(name: str, flags: list[str]) -> str | None:
    """The flag that is probably meant by `name`."""
    given = flag(_field(name))
    near = [known for known in flags if known == given or is_near(given, known)]
    near += [known for known in flags if len(given) > len("--x") and known.startswith(given)]
    return near[0] if near else None


def _field(name: str) -> str:
    """`rate_limit_rps` for `--rate-limit-rps`; also for wrong notations of it."""
    return name.lstrip("-").replace("-", "_").lower()


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
    for field, about in SETTINGS.items():
        if about.flag:
            default = format_value(about.default, about.kind)
            text = f"{about.help}; {about.kind.takes} [{field.upper()}] (default: {default})"
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
