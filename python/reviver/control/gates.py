"""Gates: what is asked before the canary goes a step, and after it. One that does not answer does not pass."""

import asyncio
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from reviver.control.aside import aside
from reviver.control.posting import post
from reviver.errors import OperationError

TIMEOUT = 60.0
"""Seconds that a gate has for its answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Of one gate, or of several."""

    passed: bool
    detail: str
    """Which gate refused and why; empty where all have passed."""


async def ask_all(gates: Sequence[str], facts: Mapping[str, Any], base: Path, report: Callable[[str], None]) -> Answer:
    """Asks each in turn until one refuses. `report` is told where a Python gate has failed."""
    for gate in gates:
        answer = await ask(gate, facts, base, report)
        if not answer.passed:
            return answer
    return Answer(True, "")


async def ask(gate: str, facts: Mapping[str, Any], base: Path, report: Callable[[str], None]) -> Answer:
    """Asks a URL by POST, or calls `file.py:function`; the file is relative to `base`."""
    work = (lambda: _post(gate, facts)) if is_url(gate) else (lambda: _call(gate, facts, base))
    try:
        async with asyncio.timeout(TIMEOUT) as patience:
            refusal = await aside(work, f"gate {gate}")
    except OperationError as error:
        refusal = str(error)
    except Exception as error:
        if patience.expired():
            refusal = f"no answer within {TIMEOUT:g} s"
        else:
            # somebody else's code: whatever it raises is its answer
            refusal = f"{type(error).__name__}: {error}"
            report(f"gate {gate} failed: {refusal}{_frames(error)}")
    return Answer(refusal is None, "" if refusal is None else " ".join(f"{gate}: {refusal}".split()))


def _frames(error: BaseException) -> str:
    """Where in their code that was, without our own part of the way; begins with a new line."""
    cause = error.__cause__ or error
    frames = traceback.extract_tb(cause.__traceback__)
    own = Path(__file__).parent
    theirs = [frame for frame in frames if Path(frame.filename).parent != own]
    place = [f'  File "{cause.filename}", line {cause.lineno}\n'] if isinstance(cause, SyntaxError) else []
    return ("\n" + "".join([*traceback.format_list(theirs), *place])).rstrip()


def is_url(gate: str) -> bool:
    """Whether a gate is asked over HTTP."""
    return gate.startswith(("http://", "https://"))


def _post(url: str, facts: Mapping[str, Any]) -> str | None:
    """Why it refuses; none where it passes. Raises OperationError."""
    reply = post(url, facts, TIMEOUT)
    return None if reply.good else f"it answered {reply.said}"


def _call(gate: str, facts: Mapping[str, Any], base: Path) -> str | None:
    file, _, name = gate.rpartition(":")
    path = base / file
    function = getattr(_load(path), name, None)
    if not callable(function):
        raise OperationError(f"{path} has no function {name}")
    said = function(dict(facts))
    if inspect.isawaitable(said):
        said = asyncio.run(_awaited(said))
    return None if said is None or said else f"it returned {said!r}"


async def _awaited(work: Any) -> Any:
    return await work


def _load(path: Path) -> ModuleType:
    """Runs the file, anew each time: it may have been changed since."""
    if not path.is_file():
        raise OperationError(f"there is no file {path}")
    name = f"reviver_gate_{path.stem}"
    specification = importlib.util.spec_from_file_location(name, path)
    if specification is None or specification.loader is None:
        raise OperationError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(specification)
    # dataclasses and pickles look their module up by its name
    sys.modules[name] = module
    specification.loader.exec_module(module)
    return module
