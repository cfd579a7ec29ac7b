"""The `tokenfall` command, also as `python -m tokenfall`."""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from signal import SIG_IGN, SIGUSR1, SIGUSR2, signal
else:
    from _signal import SIG_IGN, SIGUSR1, SIGUSR2, signal  # the C module: `signal` imports enum


def main() -> int:
    """Run the command; return its exit status. Signal handlers are installed before any slow import.

    Until the interpreter has started, about 20 ms, the defaults of the operating system apply.
    """
    signal(SIGUSR1, SIG_IGN)
    signal(SIGUSR2, SIG_IGN)
    from tokenfall.reactor.signals import install_startup_handlers  # noqa: PLC0415 - not for `health`

    install_startup_handlers()
    from tokenfall.cli import main as run  # noqa: PLC0415 - see above

    return run()


if __name__ == "__main__":
    if sys.argv[1:2] == ["health"]:  # it may share 20 MB with a server, so it does not import the settings
        from tokenfall.health_check import health

        sys.exit(health(sys.argv[2:]))
    sys.exit(main())
