"""Coverage-guided fuzzing of the configuration loader: whatever the bytes, the only error is ConfigurationError.

usage: python fuzz/configuration.py [libFuzzer options]     e.g. -max_total_time=60
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["reviver"]):
    from reviver.compile import FINGERPRINT, compile_plan, gather
    from reviver.config import load_file
    from reviver.errors import ConfigurationError

FOLDER = Path(tempfile.mkdtemp(prefix="reviver-fuzz-"))
ENDINGS = ("yaml", "json", "toml")


def one_input(data: bytes) -> None:
    """Loads the bytes as each format; the first byte chooses which."""
    if not data:
        return
    path = FOLDER / f"reviver.{ENDINGS[data[0] % len(ENDINGS)]}"
    path.write_bytes(data[1:])
    try:
        loaded = load_file(path, {})
        compile_plan(loaded, gather(loaded), fingerprint=FINGERPRINT)
    except ConfigurationError as error:
        if not all(d.sentence for d in error.diagnostics) or not error.diagnostics:
            raise RuntimeError("an error that says nothing") from error


def main() -> None:
    """Seeds the corpus with the examples and runs until libFuzzer's options say stop."""
    corpus = FOLDER / "corpus"
    corpus.mkdir()
    examples = Path(__file__).parent.parent / "examples"
    for number, example in enumerate(sorted(examples.glob("*.yaml")) + sorted(examples.glob("*.toml"))):
        kind = bytes([ENDINGS.index(example.suffix.removeprefix("."))])
        (corpus / str(number)).write_bytes(kind + example.read_bytes())
    atheris.Setup([*sys.argv, str(corpus)], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
