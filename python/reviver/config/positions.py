"""Where each key of a configuration was written."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

__all__ = ["KeyPath", "Mark", "Positions", "path_text"]

KeyPath = tuple[str | int, ...]
"""Steps from the root of the document: names of keys, and indices of list items from 0."""

_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")


class Mark(NamedTuple):
    """A place in a text: line and column, both from 1; (0, 0) where there is no text."""

    line: int
    column: int


def path_text(path: Iterable[str | int]) -> str:
    """A key path as it is shown: `reverse.routes[0].match.host`; names with other signs are quoted."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            name = step if _BARE.match(step) else json.dumps(step, ensure_ascii=False)
            text += f".{name}" if text else name
    return text


@dataclass(frozen=True)
class Positions:
    """Key path to place, for each key and each list item that was written."""

    file: str
    """The file as the person named it, or what stands for it."""
    marks: Mapping[KeyPath, Mark] = field(default_factory=dict)
    """Where to point for what is wrong with a value: at a scalar itself, at the key of a table or list."""
    keys: Mapping[KeyPath, Mark] = field(default_factory=dict)
    """Where each key of a table stands."""

    def written(self, path: KeyPath) -> bool:
        """Whether this very key or item was written."""
        return self.spelled(path) in self.marks

    def longest(self, path: KeyPath) -> KeyPath:
        """The longest beginning of `path` that was written; `()` is the whole document."""
        while path and not self.written(path):
            path = path[:-1]
        return path

    def spelled(self, path: KeyPath) -> KeyPath:
        """The path in the text: where a list of tables was written as one table, without the index of that."""
        result: KeyPath = ()
        for step, behind in pairwise(path):
            as_one = step == 0 and (*result, 0) not in self.marks and (*result, behind) in self.marks
            result = result if as_one else (*result, step)
        return (*result, *path[-1:])

    def mark(self, path: KeyPath) -> Mark:
        """The place of `path`, or of the longest written beginning of it."""
        return self.marks.get(self.spelled(self.longest(path)), Mark(0, 0))

    def place(self, path: KeyPath) -> str:
        """`file:line` of `path`, or of the longest written beginning of it; just the name without a text."""
        line = self.mark(path).line
        return f"{self.file}:{line}" if line else self.file
