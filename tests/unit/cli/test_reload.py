"""`reviver reload`: what the proxy refuses, for people and for programs."""

import json
from pathlib import Path
from typing import Any, NoReturn

import pytest

from reviver.cli import main
from reviver.control import client
from reviver.errors import Diagnostic

FOUND = Diagnostic("r.yaml", 3, 5, "workers", "must be a number", "write 2")


def _refusing(diagnostics: list[Diagnostic], monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(path: Path, command: str, **_: Any) -> NoReturn:
        assert (path, command) == (Path("c.sock"), "reload")
        raise client.RefusedError("nothing was changed", diagnostics)

    monkeypatch.setattr(client, "ask", ask)


@pytest.mark.parametrize(("diagnostics", "code"), [([FOUND], 2), ([], 1)])
def test_a_refusal_is_lines_on_stderr(
    diagnostics: list[Diagnostic], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _refusing(diagnostics, monkeypatch)
    assert main.run(["reload", "--socket", "c.sock"]) == code
    lines = [*map(str, diagnostics), "not reloaded: nothing was changed"]
    assert capsys.readouterr() == ("", "".join(f"{line}\n" for line in lines))


@pytest.mark.parametrize(("diagnostics", "code"), [([FOUND], 2), ([], 1)])
def test_a_refusal_is_json_and_nothing_else(
    diagnostics: list[Diagnostic], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _refusing(diagnostics, monkeypatch)
    assert main.run(["reload", "--socket", "c.sock", "--json"]) == code
    out, err = capsys.readouterr()
    assert err == ""
    assert json.loads(out) == {
        "ok": False,
        "error": "nothing was changed",
        "diagnostics": [item.as_dict() for item in diagnostics],
    }


def test_no_proxy_and_no_file_are_json_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, code, count in [
        (("--socket", str(tmp_path / "c.sock")), 1, 0),
        (("--config", str(tmp_path / "missing.yaml")), 2, 1),
    ]:
        assert main.run(["reload", "--json", *arguments]) == code
        out, err = capsys.readouterr()
        assert err == ""
        answer = json.loads(out)
        assert (answer["ok"], len(answer["diagnostics"])) == (False, count)
        assert answer["error"]
