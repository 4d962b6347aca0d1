"""Gates: URLs and functions of files, and everything by which they do not pass."""

import asyncio
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reviver.control import gates
from reviver.control.aside import aside
from reviver.control.gates import Answer
from tests.support.hooks import hook

FACTS: dict[str, Any] = {"split": "shop", "step": 1, "weight": 500, "kind": "before"}


def ask(gate: str, base: Path | None = None, report: Callable[[str], None] = pytest.fail) -> Answer:
    return asyncio.run(gates.ask(gate, FACTS, base or Path(), report))


# ---- URLs


@pytest.mark.parametrize("status", [200, 202, 204])
def test_a_url_gets_the_facts_and_passes_by_2xx(status: int) -> None:
    with hook((status, {}, b"" if status == 204 else b"fine")) as there:
        assert ask(there.url()) == Answer(True, "")
    assert there.bodies == [FACTS]
    assert there.types == ["application/json"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((403, {}, b"not on\na Friday\n"), "it answered 403 Forbidden: not on a Friday"),
        ((500, {}, b""), "it answered 500 Internal Server Error"),
        ((302, {"Location": "/yes"}, b""), "it answered 302 Found"),
        ((400, {}, b"x" * 1_000_000), "it answered 400 Bad Request: " + "x" * 200),
    ],
)
def test_another_answer_refuses_with_what_it_said(answer: Any, words: str) -> None:
    with hook(answer) as there:
        assert ask(there.url()) == Answer(False, f"{there.url()}: {words}")
        assert len(there.bodies) == 1, "it is asked once, and no redirect is followed"


def test_nobody_there_refuses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert ask(f"http://127.0.0.1:{port}/") == Answer(False, f"http://127.0.0.1:{port}/: Connection refused")


def test_silence_refuses_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "TIMEOUT", 0.05)
    with hook() as there:
        there.go.clear()
        assert ask(there.url()) == Answer(False, f"{there.url()}: no answer within 0.05 s")


# ---- functions


def written(folder: Path, body: str, name: str = "gate.py") -> Path:
    (folder / name).write_text(body)
    return folder


@pytest.mark.parametrize(
    "body",
    [
        "def go(facts): return facts['weight'] == 500 and facts['kind'] == 'before'",
        "def go(facts): pass",
        "async def go(facts): return True",
        "import asyncio\nasync def go(facts): await asyncio.sleep(0)",
        "import dataclasses\n@dataclasses.dataclass\nclass A:\n    x: 'int'\ndef go(facts): return A(1)",
    ],
)
def test_a_function_passes_by_true_or_nothing(tmp_path: Path, body: str) -> None:
    assert ask("gate.py:go", written(tmp_path, body)) == Answer(True, "")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("def go(facts): return False", "it returned False"),
        ("async def go(facts): return False", "it returned False"),
        ("def went(facts): pass", "/gate.py has no function go"),
        ("go = 3", "/gate.py has no function go"),
    ],
)
def test_a_function_refuses(tmp_path: Path, body: str, words: str) -> None:
    answer = ask("gate.py:go", written(tmp_path, body))
    assert not answer.passed
    assert answer.detail.startswith("gate.py:go: ")
    assert answer.detail.endswith(words)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("def go(facts): raise ValueError('not\\ntoday')", "ValueError: not today"),
        ("async def go(facts): raise StopIteration", "RuntimeError"),
        ("def go(facts): raise SystemExit(3)", "SystemExit: 3"),
        ("def go(facts): raise TimeoutError('of its own')", "TimeoutError: of its own"),
        ("def go(facts:", "SyntaxError"),
        ("import nowhere.at_all", "ModuleNotFoundError"),
    ],
)
def test_a_function_that_fails_refuses_and_is_told_with_its_traceback(tmp_path: Path, body: str, words: str) -> None:
    said: list[str] = []
    answer = ask("gate.py:go", written(tmp_path, body), said.append)
    assert not answer.passed
    assert words in answer.detail
    assert "\n" not in answer.detail
    [told] = said
    assert told.startswith("gate gate.py:go failed: ")
    assert f'File "{tmp_path / "gate.py"}", line ' in told
    assert "reviver/control" not in told, "our own part of the way tells them nothing"


def test_a_file_that_is_not_there_refuses(tmp_path: Path) -> None:
    assert ask("gate.py:go", tmp_path).detail == f"gate.py:go: there is no file {tmp_path}/gate.py"


def test_a_file_is_read_each_time(tmp_path: Path) -> None:
    assert not ask("gate.py:go", written(tmp_path, "def go(facts): return False")).passed
    assert ask("gate.py:go", written(tmp_path, "def go(facts): return 'yes, of course'")).passed


def test_a_function_that_does_not_end_refuses_and_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gates, "TIMEOUT", 0.05)
    body = "import threading\ndef go(facts): threading.Event().wait()"
    # the loop, and with it this test, ends though the function never does
    assert ask("gate.py:go", written(tmp_path, body)).detail == "gate.py:go: no answer within 0.05 s"


# ---- several


def test_the_first_that_refuses_ends_it(tmp_path: Path) -> None:
    written(tmp_path, "def yes(facts): pass\ndef no(facts): return False")
    with hook() as there:
        several = ["gate.py:yes", there.url(), "gate.py:no", there.url("/never")]
        answer = asyncio.run(gates.ask_all(several, FACTS, tmp_path, pytest.fail))
        assert answer == Answer(False, "gate.py:no: it returned False")
        assert len(there.bodies) == 1
        assert asyncio.run(gates.ask_all(several[:2], FACTS, tmp_path, pytest.fail)) == Answer(True, "")


# ---- threads


def test_what_is_no_longer_wanted_is_left_alone() -> None:
    go, ended = threading.Event(), threading.Event()

    def work() -> None:
        go.wait(20)
        ended.set()

    async def run() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(aside(work, "x"), 0.01)

    asyncio.run(run())
    go.set()
    assert ended.wait(20), "it ends by itself, after the loop"
