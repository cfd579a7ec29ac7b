"""The `tokenfall` command, also as `python -m tokenfall`."""

import sys

from tokenfall.reactor.signals import take_over


def main() -> int:
    """Run the command; its exit status. Signals are seen to before anything that takes time is imported."""
    take_over()
    from tokenfall.cli import main as run  # noqa: PLC0415 - see above

    return run()


if __name__ == "__main__":
    sys.exit(main())
