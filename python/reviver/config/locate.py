"""Finding a configuration, and its control socket whatever state it is in.

Loads neither the models nor what they need: the commands that talk to a running proxy should be quick.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reviver.config.environment import substitute
from reviver.config.formats import FORMATS, TextError, parse, read
from reviver.config.positions import path_text
from reviver.errors import ConfigurationError, Diagnostic

__all__ = ["control_socket", "find_default", "from_problem"]

# `socket` right behind `control`, as YAML, JSON and TOML write it
_SOCKET = re.compile(
    r"""(?<![\w.-]) ["']?control["']? \]? [\s:=.{]+ ["']?socket["']? \s*[:=]\s*
    (?: "(?P<double>[^"\n]*)" | '(?P<single>[^'\n]*)' | (?P<plain>[^\s"',}]+) )""",
    re.VERBOSE,
)
_COMMENT = re.compile(r"^\s*#.*$", re.MULTILINE)


def find_default(folder: Path) -> Path:
    """The configuration file of a folder: reviver.yaml, .yml, .toml or .json, the first that is there.

    Raises ConfigurationError where there is none.
    """
    for suffix in FORMATS:
        path = folder / f"reviver{suffix}"
        if path.is_file():
            return path
    names = ", ".join(f"reviver{suffix}" for suffix in FORMATS)
    diagnostic = Diagnostic(
        str(folder), 0, 0, "", f"there is no configuration here: none of {names}", "name a file, or write one of these"
    )
    raise ConfigurationError([diagnostic])


def control_socket(path: Path, environ: Mapping[str, str] | None = None) -> Path | None:
    """The control socket that a file names, or None where it names none.

    Nothing else in the file needs to be right; in one that cannot be parsed the key is searched for. Raises
    ConfigurationError where the file cannot be read.
    """
    try:
        text = read(path)
    except TextError as problem:
        raise ConfigurationError([from_problem(str(path), problem)]) from None
    try:
        written = _written(parse(text, path.suffix).data)
    except TextError:
        written = _searched(text)
    if not written:
        return None
    unknown: list[str] = []
    socket = substitute(written, os.environ if environ is None else environ, lambda _, what, __: unknown.append(what))
    return None if unknown else Path(path.absolute().parent, socket)


def from_problem(file: str, problem: TextError) -> Diagnostic:
    """What is wrong with a text, as it is shown; `file` is the name that the person gave."""
    return Diagnostic(
        file, problem.mark.line, problem.mark.column, path_text(problem.path), problem.sentence, problem.hint
    )


def _written(data: Any) -> str | None:
    control = data.get("control") if isinstance(data, dict) else None
    socket = control.get("socket") if isinstance(control, dict) else None
    return socket if isinstance(socket, str) else None


def _searched(text: str) -> str | None:
    found = _SOCKET.search(_COMMENT.sub("", text))
    return None if found is None else found["double"] or found["single"] or found["plain"]
