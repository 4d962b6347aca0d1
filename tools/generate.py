#!/usr/bin/env python3
"""Makes the files that are generated from tables, schemas and models, or says which of them are stale.

usage: tools/generate.py [--check]

Each generator is a function without arguments that gives path and text; a new one is added to `GENERATORS`.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "python")]

from tools.generators import manual, phases, plan_types, reasons  # noqa: E402 - the path has to be set first

GENERATORS: list[Callable[[], tuple[Path, str]]] = [
    lambda: plan_types.generate(ROOT),
    lambda: manual.generate(ROOT),
    lambda: phases.generate(ROOT),
    lambda: reasons.generate(ROOT),
]


def main() -> int:
    """Writes what has changed; with `--check` writes nothing and gives 1 when something is stale."""
    parser = argparse.ArgumentParser(description="Make the generated files.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 when a file is stale")
    check = parser.parse_args().check
    stale = []
    for generator in GENERATORS:
        path, text = generator()
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(path)
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    for path in stale:
        print(f"{path.relative_to(ROOT)} {'is stale: run make generate' if check else 'written'}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
