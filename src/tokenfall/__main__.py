"""The `tokenfall` command, also as `python -m tokenfall`."""

import sys


def main() -> int:
    """Run the command; return its exit status. Signal handlers are installed before any slow import."""
    from tokenfall.reactor.signals import install_startup_handlers  # noqa: PLC0415 - not for `health`

    install_startup_handlers()
    from tokenfall.cli import main as run  # noqa: PLC0415 - see above

    return run()


if __name__ == "__main__":
    if sys.argv[1:2] == ["health"]:  # it may share 20 MB with a server, so it does not import the settings
        from tokenfall.health_check import health

        sys.exit(health(sys.argv[2:]))
    sys.exit(main())
