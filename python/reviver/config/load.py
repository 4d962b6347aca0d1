"""From a file to a checked configuration, or to all that is wrong with it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reviver.config.checks import check
from reviver.config.diagnose import Cut, unusable, validate
from reviver.config.environment import substitute
from reviver.config.findings import Finding
from reviver.config.formats import Document, TextError, parse, read
from reviver.config.locate import from_problem
from reviver.config.models import Config
from reviver.config.positions import KeyPath, Mark, Positions, path_text
from reviver.errors import ConfigurationError, Diagnostic

__all__ = ["Loaded", "json_schema", "load_file", "load_mapping"]


@dataclass(frozen=True)
class Loaded:
    """A configuration that may be compiled, and where it came from."""

    config: Config
    positions: Positions
    """Where each key was written."""
    path: Path | None
    """Absolute path of the file; none where a program made the configuration."""
    base: Path
    """Absolute path of the folder to which relative paths in it are relative."""
    warnings: tuple[Diagnostic, ...] = ()
    """What is probably not meant, though it is allowed."""


def load_file(path: Path, environ: Mapping[str, str] | None = None) -> Loaded:
    """Reads a configuration file; its format goes by the ending of its name, YAML where that is unknown.

    `environ` stands in for the process's environment. Raises ConfigurationError with everything that is wrong.
    """
    name = str(path)
    try:
        document = parse(read(path), path.suffix)
    except TextError as problem:
        raise ConfigurationError([from_problem(name, problem)]) from None
    absolute = path.absolute()
    return _load(document, name, absolute, absolute.parent, os.environ if environ is None else environ)


def load_mapping(tree: Mapping[str, Any], name: str = "command line") -> Loaded:
    """Checks a configuration that a program made.

    Nothing is substituted in it, and diagnostics have no lines: `name` stands for the file. Relative paths in it
    are relative to the current folder.

    Raises ConfigurationError with everything that is wrong.
    """
    return _load(_generated(tree), name, None, Path.cwd(), None)


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the configuration, for editors."""
    from reviver.config.schema import json_schema as schema

    return schema()


def _generated(tree: Mapping[str, Any]) -> Document:
    document = Document()

    def take(value: Any, path: KeyPath) -> Any:
        document.marks[path] = Mark(0, 0)
        if isinstance(value, Mapping):
            return {str(key): take(item, (*path, str(key))) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return tuple(take(item, (*path, index)) for index, item in enumerate(value))
        return value

    document.data = take(tree, ())
    return document


def _load(document: Document, file: str, path: Path | None, base: Path, environ: Mapping[str, str] | None) -> Loaded:
    positions = Positions(file, document.marks, document.keys)
    diagnostics = [from_problem(file, problem) for problem in document.problems]

    def add(found: Finding) -> None:
        mark = positions.mark(found.path)
        if found.at_key:
            mark = positions.keys.get(positions.spelled(found.path), mark)
        path = path_text(found.path)
        diagnostics.append(Diagnostic(file, *mark, path, found.sentence, found.hint, found.severity))

    def result(config: Config | None) -> Loaded:
        diagnostics.sort(key=lambda d: (d.line, d.column))
        # beside an error a warning may only be its consequence: of a pool whose name is misspelt in a route
        # it would be said that no route uses it
        errors = [d for d in diagnostics if d.severity == "error"]
        if config is None or errors:
            raise ConfigurationError(errors)
        return Loaded(config, positions, path, base, tuple(diagnostics))

    data = document.data
    if not isinstance(data, dict):
        add(Finding((), "the document is not a table of keys", "begin with listeners:"))
        return result(None)
    wrong = list(unusable(data))
    if environ is not None:
        data = substitute(data, environ, lambda at, sentence, hint: wrong.append(Finding(at, sentence, hint)))
    config, cut, findings = validate(Cut(data).without(found.path for found in wrong), positions)
    for found in (*wrong, *findings):
        add(found)
    if config is not None:
        for found in check(config, lambda at: positions.written(cut.written(at))):
            add(found._replace(path=cut.written(found.path)))
    return result(config)
