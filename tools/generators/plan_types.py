"""The plan's types in Python, from the schema that its Rust types give."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

__all__ = ["generate"]

_HEAD = '''"""The plan's types, as the engine takes them.

Generated from crates/reviver-plan/plan.schema.json by tools/generate.py: changes belong in
crates/reviver-plan/src/plan.rs.
"""
# ruff: noqa: D101
'''


def generate(root: Path) -> tuple[Path, str]:
    """Path and text of python/reviver/compile/plan.py."""
    crate = root / "crates" / "reviver-plan"
    schema = json.loads((crate / "plan.schema.json").read_text(encoding="utf-8"))
    fingerprint = (crate / "plan.schema.sha").read_text(encoding="utf-8").strip()
    for name, definition in [("Plan", schema), *schema["$defs"].items()]:
        _complete(name, definition)
    path = root / "python" / "reviver" / "compile" / "plan.py"
    return path, _formatted(_types(schema, fingerprint), root, path)


def _complete(name: str, definition: dict[str, Any]) -> None:
    """Adds what the generator of types needs to know beyond the schema."""
    # variants of a Rust enum that carry a value get a name: `ActionPool` for `Action::Pool`
    for variant in definition.get("oneOf", []):
        if variant.get("type") == "object":
            key = next(iter(variant["properties"]))
            variant["title"] = name + "".join(word.capitalize() for word in key.split("_"))
    # the first rule of the plan: it is complete, what is not there is null
    if "properties" in definition:
        definition["required"] = list(definition["properties"])


def _types(schema: dict[str, Any], fingerprint: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "plan.json"), Path(folder, "plan.py")
        source.write_text(json.dumps(schema), encoding="utf-8")
        command = [
            *(sys.executable, "-W", "ignore", "-m", "datamodel_code_generator"),
            *("--input", str(source), "--input-file-type", "jsonschema", "--output", str(target)),
            *("--output-model-type", "typing.TypedDict", "--no-use-closed-typed-dict"),
            *("--target-python-version", "3.11", "--disable-future-imports", "--disable-timestamp"),
            *("--use-title-as-name", "--use-schema-description", "--use-field-description", "--use-double-quotes"),
            *("--use-standard-collections", "--use-union-operator", "--enum-field-as-literal", "all"),
            *("--use-single-line-docstring", "--formatters", "builtin"),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"datamodel-code-generator: {done.stderr.strip()}")
        text = target.read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    constant = f'FINGERPRINT = "{fingerprint}"\n"""Fingerprint of the schema that these types were made from."""\n'
    imports = [line for line in lines if line.startswith(("import ", "from "))]
    body = "\n".join(line for line in lines if line not in imports)
    return "\n".join([_HEAD, *imports, "", constant, body])


def _formatted(text: str, root: Path, path: Path) -> str:
    """The text as the project's formatter leaves it."""
    for arguments in (["check", "--fix-only", "--quiet", "--select", "D2,D4,I,UP,PYI,RUF022"], ["format"]):
        command = [*_ruff(), *arguments, "--stdin-filename", str(path), "-"]
        text = subprocess.run(command, input=text, capture_output=True, text=True, check=True, cwd=root).stdout
    return text


def _ruff() -> list[str]:
    return [sys.executable, "-m", "ruff"]
