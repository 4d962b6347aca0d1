"""Runs tests/cases/compile/*.case; `python tests/unit/compile/test_cases.py --update` rewrites what they expect."""

import sys
from pathlib import Path

import pytest

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parents[3] / folder) for folder in (".", "python")]

from tests.support.cases import FOLDER, Case, part

PATHS = sorted(FOLDER.glob("*.case"))


def test_there_are_cases() -> None:
    assert len(PATHS) >= 40


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_case(path: Path) -> None:
    case = Case.read(path)
    diagnostics, plan = case.run()
    assert diagnostics == case.diagnostics
    assert (plan is None) == (case.plan is None)
    if case.plan is not None:
        assert case.plan, "a case without diagnostics that expects nothing says nothing"
        assert part(plan, case.plan) == case.plan


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_case_that_is_refused_says_why_and_where(path: Path) -> None:
    case = Case.read(path)
    if case.plan is None:
        assert any(": warning:" not in line for line in case.diagnostics)
    for line in case.diagnostics:
        assert line.startswith((f"{case.file}:", "BASE/")), line


def update() -> None:
    """Rewrites the cases that are named, or all."""
    names = [Path(name) for name in sys.argv[1:] if name != "--update"]
    for path in names or PATHS:
        text = Case.read(path).updated()
        if text != path.read_text(encoding="utf-8"):
            path.write_text(text, encoding="utf-8")
            print(f"{path.name} updated")


if __name__ == "__main__":
    if "--update" not in sys.argv:
        raise SystemExit("usage: test_cases.py --update [CASE ...]")
    update()
