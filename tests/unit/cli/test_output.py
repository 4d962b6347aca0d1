"""How commands speak."""

import io
import sys

import pytest

from reviver.cli import output
from reviver.errors import Diagnostic


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colours_are_for_terminals_that_want_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert output.paint("x", stream=io.StringIO(), fg="red") == "x"
    assert output.paint("x", stream=_Terminal(), fg="red") == "\x1b[31mx\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert output.paint("x", stream=_Terminal(), fg="red") == "x"


def test_diagnostics_go_to_stderr_one_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    output.diagnostics(
        [Diagnostic("r.yaml", 2, 1, "a", "is wrong"), Diagnostic("r.yaml", 3, 1, "b", "is odd", severity="warning")]
    )
    assert capsys.readouterr() == ("", "r.yaml:2:1: a: is wrong\nr.yaml:3:1: warning: b: is odd\n")


def test_tables_are_not_cut_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    long = "x" * 500
    output.print_table(("a", "empty", "b"), [[long, None, "[red]1[/red]"], ["y", "", 2]])
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines[0].split() == ["a", "b"]
    assert lines[1] == f"{long}  [red]1[/red]"
    assert lines[2].split() == ["y", "2"]
    assert len(lines) == 3


def test_a_failure_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    output.fail("two\nlines")
    assert capsys.readouterr().err == "error: two lines\n"
    assert not sys.stderr.isatty()
