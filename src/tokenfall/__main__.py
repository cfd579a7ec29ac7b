"""`python -m tokenfall` is the `tokenfall` command."""

import sys

from tokenfall.cli import main

if __name__ == "__main__":
    sys.exit(main())
