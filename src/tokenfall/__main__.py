"""`python -m tokenfall` is the `tokenfall` command."""

import sys

if __name__ == "__main__":
    if sys.argv[1:2] == ["health"]:  # beside a server in 20 MB: without the settings and all that they import
        from tokenfall.health_check import health

        sys.exit(health(sys.argv[2:]))
    from tokenfall.cli import main

    sys.exit(main())
