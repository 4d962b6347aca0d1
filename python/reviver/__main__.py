"""`reviver` and `python -m reviver`."""

import sys

from reviver.cli.main import run


def main() -> None:
    """Runs the command line; ends the process with its exit code (0 good, 1 failed, 2 usage or configuration)."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
