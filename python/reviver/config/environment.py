"""Environment variables in the strings of a configuration: `${NAME}` and `${NAME:-default}`.

Substituted after parsing, so that a variable's value can never change the structure. Keys are left alone.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from reviver.config.positions import KeyPath

__all__ = ["Complaint", "substitute"]

Complaint = Callable[[KeyPath, str, str | None], None]
"""Takes what is wrong at a key path, sentence and hint, once for each text."""

_REFERENCE = re.compile(r"\$\$\{|\$\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-[^}]*)?\})?")


def substitute(data: Any, environ: Mapping[str, str], complain: Complaint, path: KeyPath = ()) -> Any:
    """The same tree with variables put in; what cannot be resolved is complained about and left as it is."""
    if isinstance(data, dict):
        return {key: substitute(value, environ, complain, (*path, key)) for key, value in data.items()}
    if isinstance(data, tuple):
        return tuple(substitute(value, environ, complain, (*path, index)) for index, value in enumerate(data))
    if not isinstance(data, str) or "${" not in data:
        return data

    result, end = "", 0
    for found in _REFERENCE.finditer(data):
        name, default = found["name"], found["default"]
        result, end = result + data[end : found.start()], found.end()
        if found[0] == "$${":
            result += "${"
        elif name is None:
            complain(path, "a variable is not written as ${NAME} or ${NAME:-default}", "write $${ for a literal ${")
            return data
        elif default is None and name not in environ:
            complain(path, f"the environment has no variable {name}", f"give a default: ${{{name}:-...}}")
            return data
        else:
            # as in a shell, :- stands in for an empty variable too
            result += environ.get(name, "") or (default or "")[2:]
    return result + data[end:]
