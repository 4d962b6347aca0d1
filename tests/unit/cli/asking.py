"""A proxy that commands ask, without one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reviver.control import client


def answering(monkeypatch: pytest.MonkeyPatch, answer: Callable[[str], Any]) -> list[tuple[str, Any]]:
    """Answers each command so; what was asked, with each request."""
    found: list[tuple[str, Any]] = []

    def ask(path: Path, command: str, *, request: Any = None, **_: Any) -> Any:
        found.append((command, request))
        return answer(command)

    monkeypatch.setattr(client, "ask", ask)
    return found


def printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What was printed, with single spaces."""
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
