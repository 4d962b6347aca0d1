"""The command line as a whole: overview, exit codes, one line an error, nothing imported too early."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from reviver import __version__
from reviver.cli import main
from reviver.errors import ConfigurationError, Diagnostic, OperationError


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--version"]) == 0
    assert capsys.readouterr().out == f"reviver {__version__}\n"


def test_the_overview_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--help"]) == 0
    overview = capsys.readouterr().out
    for name, summary in main.COMMANDS.items():
        assert f"  {name} " in overview
        assert summary in overview


@pytest.mark.parametrize("name", main.COMMANDS)
def test_each_command_has_help_with_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"Usage: reviver {name}")
    assert f"  reviver {name}" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["chek"], "no such command: chek (did you mean check?)"),
        (["zzz"], "there are: run, reverse"),
        (["run", "--wath"], "--watch"),
        (["run", "a", "b"], "unexpected extra argument"),
        (["reverse"], "Missing argument"),
        (["forward", "--anonymity", "total"], "'transparent', 'anonymous', 'high'"),
        (["explain", "GET"], "give METHOD and URL"),
        (["explain", "GET", "/", "-H", "no colon"], "is not 'Name: value'"),
        (["explain", "GET", "/", "--client", "me"], "is not an IP address"),
        (["run", "--workers", "0"], "--workers"),
    ],
)
def test_bad_usage_is_one_line_and_two(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert words.lower() in err.lower()
    assert "--help says more" in err


def _failing(error: Exception) -> click.Command:
    def fail() -> None:
        raise error

    return click.Command("status", callback=fail)


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (OperationError("the port\nis in use"), 1, "error: the port is in use\n"),
        (
            ConfigurationError(
                [Diagnostic("a.yaml", 1, 2, "x", "is wrong", "did you mean y?"), Diagnostic("a.yaml", 3, 4, "z", "too")]
            ),
            2,
            "a.yaml:1:2: x: is wrong (did you mean y?)\na.yaml:3:4: z: too\n",
        ),
        (
            ValueError("odd"),
            1,
            "error: internal error: ValueError: odd (set REVIVER_DEBUG=1 to see where)\n",
        ),
    ],
)
def test_failures_are_lines_and_exit_codes(
    error: Exception, code: int, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("REVIVER_DEBUG", raising=False)
    monkeypatch.setattr(main.cli, "get_command", lambda ctx, name: _failing(error))
    assert main.run(["status"]) == code
    assert capsys.readouterr() == ("", text)


def test_debugging_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REVIVER_DEBUG", "1")
    monkeypatch.setattr(main.cli, "get_command", lambda ctx, name: _failing(ValueError("odd")))
    with pytest.raises(ValueError, match="odd"):
        main.run(["status"])


def test_shells_complete_commands_and_options() -> None:
    def completed(*words: str) -> list[str]:
        env = {**os.environ, "_REVIVER_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(("reviver", *words))}
        done = subprocess.run(
            [sys.executable, "-m", "reviver"],
            env={**env, "COMP_CWORD": str(len(words))},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.split()

    assert completed("rel") == ["plain,reload"]
    assert "plain,--watch" in completed("run", "--")


def _modules(*arguments: str) -> set[str]:
    """Modules that the command line loads."""
    code = f"import sys; from reviver.cli.main import run; run({list(arguments)!r}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("argument", ["--version", "--help"])
def test_a_quick_answer_loads_nothing_that_it_does_not_need(argument: str) -> None:
    loaded = _modules(argument)
    assert "reviver.cli.main" in loaded
    heavy = {
        "pydantic",
        "yaml",
        "asyncio",
        "rich",
        "watchfiles",
        "reviver._engine",
        "reviver.config",
        "reviver.control",
    }
    assert not loaded & heavy


def test_a_command_loads_no_other_command() -> None:
    loaded = {name for name in _modules("status", "--socket", "/nowhere") if name.startswith("reviver.cli.")}
    assert loaded == {"reviver.cli.main", "reviver.cli.output", "reviver.cli.options", "reviver.cli.status"}


def test_asking_a_running_proxy_loads_no_models(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("listeners: [")
    loaded = _modules("status", "--config", str(path))
    assert "reviver.config.locate" in loaded
    assert not loaded & {"pydantic", "rich", "asyncio", "reviver._engine"}


def test_a_closed_pipe_is_no_traceback(tmp_path: Path) -> None:
    done: Any = subprocess.run(
        f"{sys.executable} -m reviver schema | true; echo ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert done.stdout.strip() in ("0", "1")
