"""The `tokenfall` command, also as `python -m tokenfall`."""

import sys


def main() -> int:
    """Run the command; its exit status. Signals are seen to before anything that takes time is imported."""
    from tokenfall.reactor.signals import take_over  # noqa: PLC0415 - not for `health`

    take_over()
    from tokenfall.cli import main as run  # noqa: PLC0415 - see above

    return run()


if __name__ == "__main__":
    if sys.argv[1:2] == ["health"]:  # beside a server in 20 MB: without the settings and all that they import
        from tokenfall.health_check import health

        sys.exit(health(sys.argv[2:]))
    sys.exit(main())
