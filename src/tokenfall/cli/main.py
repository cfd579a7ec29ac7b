"""Entry point of the command line: parses it, validates the settings and runs the command."""

from __future__ import annotations

import os
import sys

from tokenfall.cli.environment import env_file, warn_of_misspelled_settings, warn_of_unused_keys
from tokenfall.cli.flags import plain_flags
from tokenfall.installation import FULL_IMAGE_HINT
from tokenfall.settings import InvalidSetting, Settings, load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from tokenfall.cli.worker import Worker

USAGE_ERROR = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status."""
    words = sys.argv[1:] if argv is None else list(argv)
    if words[:1] == ["health"]:
        from tokenfall.health_check import health  # noqa: PLC0415 - not needed by a server

        return health(words[1:])
    flags = plain_flags(words)
    if flags is None:
        from tokenfall.cli.arguments import flags_of, parse  # noqa: PLC0415 - argparse takes 1.8 MiB

        arguments = parse(words)
        if arguments.command != "serve":
            return _run_tool(arguments)
        flags = flags_of(arguments)
    try:
        file = env_file()
        settings = load(flags, os.environ, file)
        _check_files(settings)
        _check_upstream(settings)
        _check_redis(settings)
    except InvalidSetting as error:
        print(f"tokenfall: {error}", file=sys.stderr)
        return USAGE_ERROR
    warn_of_misspelled_settings(os.environ, file)
    warn_of_unused_keys(settings, file)
    if settings.workers > 1:
        from tokenfall.cli.supervisor import supervise  # noqa: PLC0415 - not needed by a single process

        return supervise(settings, _serve)
    return _serve(settings)


def _check_files(settings: Settings) -> None:
    """Raises `InvalidSetting` if `SIM` names a file or a profile that is missing or invalid."""
    if "profile" not in settings.sim and "script" not in settings.sim:
        return
    from tokenfall.errors import InvalidRequest  # noqa: PLC0415
    from tokenfall.simulator.grammar import parse  # noqa: PLC0415
    from tokenfall.simulator.library import Library  # noqa: PLC0415 - rarely needed

    sim = parse(settings.sim)
    trusted = frozenset(name for name in (sim.script, sim.profile) if name)
    try:
        Library(settings.sim_files, trusted=trusted).check(sim)
    except InvalidRequest as error:
        raise InvalidSetting(f"SIM: got {settings.sim!r}: {error.message}") from None


def _check_upstream(settings: Settings) -> None:
    """Raises `InvalidSetting` for an invalid address, proxy or certificate authority in the environment."""
    if settings.upstream is None:
        return
    from tokenfall.upstream.address import parse_address  # noqa: PLC0415 - only needed with an upstream
    from tokenfall.upstream.proxies import proxy_for  # noqa: PLC0415

    try:
        address = parse_address(settings.upstream)
    except ValueError as error:
        raise InvalidSetting(f"UPSTREAM_URL: {error}") from None
    try:
        proxy_for(address)
        if address.is_tls:
            from tokenfall.upstream.tls import client_context  # noqa: PLC0415 - 5 MiB that plain HTTP does not need

            client_context()
    except ValueError as error:
        raise InvalidSetting(str(error)) from None


def _check_redis(settings: Settings) -> None:
    """Raises `InvalidSetting` for an invalid address of Redis."""
    if not settings.redis_urls:
        return
    from tokenfall.redis.url import check  # noqa: PLC0415 - imports urllib

    for store, url in settings.redis_urls.items():
        try:
            check(url)
        except ValueError as error:
            raise InvalidSetting(f"{settings.redis_setting(store)}: {error}") from None


def _run_tool(arguments: Namespace) -> int:
    """Run `record` or `fit`, whose modules an image may lack."""
    try:
        if arguments.command == "record":
            from tokenfall.cli.record import record  # noqa: PLC0415

            return record(arguments, {**env_file(), **os.environ})
        from tokenfall.cli.fit import fit  # noqa: PLC0415

        return fit(arguments)
    except InvalidSetting as error:
        print(f"tokenfall: {error}", file=sys.stderr)
    except ModuleNotFoundError as error:
        print(f"tokenfall: {arguments.command}: {error.name} is missing{FULL_IMAGE_HINT}", file=sys.stderr)
    return USAGE_ERROR


def _serve(settings: Settings, worker: Worker | None = None) -> int:
    """Serve in this process. The event loop is imported only here, because the supervisor must not have one."""
    from tokenfall.cli.serve import serve  # noqa: PLC0415 - see the docstring

    return serve(settings, worker)
