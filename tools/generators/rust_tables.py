"""Reads the tables that stand in Rust macros, so that documents are made from them without a built engine.

A table is the body of `name! { ... }` at the beginning of a line. Every statement in it has to be understood: a row of
an unexpected form is an error here, and never a row that is missing in a document.
"""

import re
from pathlib import Path

__all__ = ["rows", "variants"]


def rows(path: Path, table: str, form: str) -> list[dict[str, str]]:
    """The named groups of `form` for each row of a table, in order.

    `form` is a verbose regular expression for one row without its semicolon. Raises SystemExit where the table is
    missing or a row does not have that form.
    """
    body = re.search(rf"^{table}! \{{\n(.*?)^\}}", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    if body is None:
        raise SystemExit(f"{path}: there is no table {table}!")
    row = re.compile(rf"\s*(?:{form}\s*);", re.VERBOSE)
    found: list[dict[str, str]] = []
    text, at = body[1], 0
    while text[at:].strip():
        match = row.match(text, at)
        if match is None:
            line = text[at:].strip().splitlines()[0]
            raise SystemExit(f"{path}: a row of {table}! is not of the known form: {line}")
        found.append({name: value or "" for name, value in match.groupdict().items()})
        at = match.end()
    if not found:
        raise SystemExit(f"{path}: the table {table}! is empty")
    return found


def variants(path: Path, enum: str) -> dict[str, str]:
    """The variants of a plain enum with their documentation. Raises SystemExit where there is no such enum."""
    body = re.search(rf"^pub enum {enum} \{{\n(.*?)^\}}", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    found: dict[str, str] = {}
    lines: list[str] = []
    for line in body[1].splitlines() if body else ():
        text = line.strip()
        if text.startswith("///"):
            lines.append(text.removeprefix("///").strip())
        elif name := re.fullmatch(r"(\w+),", text):
            found[name[1]] = " ".join(lines)
            lines = []
    if not found:
        raise SystemExit(f"{path}: there is no enum {enum}")
    return found
