"""`reviver` and `python -m reviver`."""

import gc
import os
import sys


def main() -> None:
    """Runs the command line; ends the process with its exit code (0 good, 1 failed, 2 usage or configuration)."""
    # A command is over before garbage matters, and looking for it takes a tenth of its time; serving looks again.
    gc.disable()
    # Looking for pydantic's plugins reads the metadata of every package that is installed.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    from reviver.cli.main import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
