"""Environment variables in the strings of a configuration: `${NAME}` and `${NAME:-default}`.

Substituted after parsing, so that a variable's value can never change the structure. Keys are left alone.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from reviver.config.positions import KeyPath

__all__ = ["Complaint", "substitute"]

Complaint = Callable[[KeyPath, str, str | None], None]
"""Takes what is wrong at a key path: sentence and hint."""

_REFERENCE = re.compile(r"\$\$\{|\$\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-[^}]*)?\})?")


def substitute(data: Any, environ: Mapping[str, str], complain: Complaint, path: KeyPath = ()) -> Any:
    """The same tree with variables put in; what cannot be resolved is complained about and left as it is."""
    if isinstance(data, dict):
        return {key: substitute(value, environ, complain, (*path, key)) for key, value in data.items()}
    if isinstance(data, tuple):
        return tuple(substitute(value, environ, complain, (*path, index)) for index, value in enumerate(data))
    if not isinstance(data, str) or "${" not in data:
        return data

    def value(found: re.Match[str]) -> str:
        if found[0] == "$${":
            return "${"
        name, default = found["name"], found["default"]
        if name is None:
            complain(path, "a variable is not written as ${NAME} or ${NAME:-default}", "write $${ for a literal ${")
            return found[0]
        # as in a shell, :- stands in for an empty variable too
        text = environ.get(name, "")
        if default is not None:
            return text or default[2:]
        if name not in environ:
            complain(path, f"the environment has no variable {name}", f"give a default: ${{{name}:-...}}")
        return text

    return _REFERENCE.sub(value, data)
