"""Functions that a canary's autopilot asks: whether the files that they are named in have them. None is run here."""

import ast
import difflib
from collections.abc import Iterator

from reviver.compile.files import Files
from reviver.config import KeyPath, Loaded
from reviver.config.models import Gate

__all__ = ["check_gates"]

_MAX_BYTES = 4 * 2**20


def check_gates(loaded: Loaded, files: Files) -> None:
    """Refuses functions whose file is not there, is no Python, or does not define them."""
    for key, gate in _gates(loaded):
        if gate.is_url:
            continue
        raw = files.bytes(key, gate.file, _MAX_BYTES)
        if raw is None:
            continue
        path = files.path(gate.file)
        try:
            names = set(_defined(ast.parse(raw)))
        except SyntaxError as error:
            line = "" if error.lineno is None else f", line {error.lineno}"
            files.refuse(key, f"{path} is not Python: {error.msg}{line}")
            continue
        except (ValueError, RecursionError, MemoryError) as error:
            files.refuse(key, f"{path} is not Python: {error}")
            continue
        if gate.function not in names and "*" not in names:
            close = difflib.get_close_matches(gate.function, names, 1)
            files.refuse(key, f"{path} has no {gate.function}", f"did you mean {close[0]}?" if close else None)


def _gates(loaded: Loaded) -> Iterator[tuple[KeyPath, Gate]]:
    reverse = loaded.config.reverse
    for name, split in reverse.splits.items() if reverse is not None else ():
        if split.autopilot is not None:
            gates = split.autopilot.gates
            for when, listed in (("before", gates.before), ("after", gates.after)):
                for index, gate in enumerate(listed):
                    yield ("reverse", "splits", name, "autopilot", "gates", when, index), gate


def _defined(node: ast.AST) -> Iterator[str]:
    """Names that are bound when a module is run, and `*` where not all can be known."""
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
                continue
            case ast.Lambda():
                continue
            case ast.alias(name=name, asname=other):
                yield other or name.partition(".")[0]
            case ast.Name(id=name, ctx=ast.Store()):
                yield name
        yield from _defined(child)
