"""Golden cases of the compiler: a configuration above a line `----`, what becomes of it below.

Form of a `.case` file:

    the configuration                 YAML; JSON or TOML in NAME.json.case, NAME.toml.case
    ---- users.htpasswd               any number of files that stand beside it
    the file's text
    ----
    diagnostics, one a line           errors, or warnings followed by the plan
    { a part of the plan, as JSON }   only what is written is compared; "?" is filled in by --update

Variables of the environment are ENVIRONMENT and no others. `tests/unit/compile/test_cases.py --update` rewrites
what stands below to what the compiler gives now: read the difference before it is committed. Certificates are
judged by the day that tests.support.pem calls NOW.
"""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reviver.compile import compile_plan, gather
from reviver.config import load_file
from reviver.errors import ConfigurationError
from tests.support.pem import NOW

ENVIRONMENT = {"PORT": "9001", "SITE": "shop.example.com", "EMPTY": "", "TRICK": "a}, b: {c"}
FOLDER = Path(__file__).resolve().parents[1] / "cases" / "compile"


@dataclass(frozen=True)
class Case:
    path: Path
    configuration: str
    files: dict[str, str]
    diagnostics: list[str]
    plan: Any | None

    @classmethod
    def read(cls, path: Path) -> "Case":
        blocks = [("", "")]
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
            # PEM files have lines that begin with five
            if line.startswith("---- ") or line == "----\n":
                blocks.append((line[4:].strip(), ""))
            else:
                blocks[-1] = (blocks[-1][0], blocks[-1][1] + line)
        (_, configuration), *files, (_, expected) = blocks
        head, brace, plan = expected.partition("{\n")
        return cls(path, configuration, dict(files), head.splitlines(), json.loads(brace + plan) if brace else None)

    @property
    def file(self) -> str:
        inner = Path(self.path.stem)
        return f"case{inner.suffix or '.yaml'}"

    def run(self) -> tuple[list[str], dict[str, Any] | None]:
        """Diagnostics as they are printed, and the plan; none with errors."""
        with _folder() as folder:
            Path(self.file).write_text(self.configuration, encoding="utf-8")
            for name, text in self.files.items():
                Path(name).write_text(text, encoding="utf-8")
            try:
                loaded = load_file(Path(self.file), ENVIRONMENT)
                inputs = replace(gather(loaded, now=NOW), cpus=4, hostname="host")
                stable = replace(loaded, path=Path("/etc/reviver/case.yaml"))
                plan = compile_plan(stable, inputs, fingerprint="0123456789abcdef")
            except ConfigurationError as error:
                return [str(item).replace(str(folder), "BASE") for item in error.diagnostics], None
            document = json.loads(json.dumps(plan).replace(str(folder), "BASE"))
            warnings = (*loaded.warnings, *inputs.warnings)
            return [str(item).replace(str(folder), "BASE") for item in warnings], document

    def updated(self) -> str:
        """The file's text with what the compiler gives now."""
        diagnostics, plan = self.run()
        text = self.configuration + "".join(f"---- {name}\n{body}" for name, body in self.files.items()) + "----\n"
        text += "".join(f"{line}\n" for line in diagnostics)
        if plan is not None:
            text += json.dumps(part(plan, self.plan or {}), indent=2, ensure_ascii=False) + "\n"
        return text


def part(actual: Any, wanted: Any) -> Any:
    """What stands in `actual` where `wanted` has something.."""
    if isinstance(wanted, dict) and wanted and isinstance(actual, dict):
        return {key: part(actual.get(key), value) for key, value in wanted.items()}
    if isinstance(wanted, list) and isinstance(actual, list) and len(wanted) == len(actual):
        return [part(a, w) for a, w in zip(actual, wanted, strict=True)]
    return actual


@contextmanager
def _folder() -> Iterator[Path]:
    """A temporary folder that is the current one, so that diagnostics name the file as it stands in it."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        os.chdir(folder)
        try:
            yield folder
        finally:
            os.chdir(before)
