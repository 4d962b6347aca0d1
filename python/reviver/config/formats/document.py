"""A parsed text: the tree of values, and where each of them stands."""

from dataclasses import dataclass, field
from typing import Any

from reviver.config.positions import KeyPath, Mark

__all__ = ["MAX_DEPTH", "Document", "TextError", "too_deep"]

MAX_DEPTH = 64
"""Levels of tables and lists within each other; no configuration comes near, and it bounds recursion."""


class TextError(Exception):
    """Something wrong with the text at one place. Raised where reading cannot go on, collected where it can."""

    def __init__(self, mark: Mark, sentence: str, hint: str | None = None, path: KeyPath = ()) -> None:
        super().__init__(sentence)
        self.mark = mark
        self.sentence = sentence
        self.hint = hint
        self.path = path


@dataclass
class Document:
    """What a reader makes of a text. Tables are dicts, lists are tuples; keys are always text."""

    data: Any = None
    marks: dict[KeyPath, Mark] = field(default_factory=dict)
    keys: dict[KeyPath, Mark] = field(default_factory=dict)
    problems: list[TextError] = field(default_factory=list)

    def enter(self, path: KeyPath, key: Mark) -> None:
        """Notes a key of a table; one that is there already is a problem."""
        if path in self.keys:
            line = self.keys[path].line
            self.problems.append(TextError(key, f"is given twice, first in line {line}", "keep one of them", path))
        else:
            self.keys[path] = key


def too_deep(mark: Mark) -> TextError:
    """The problem of a text that is nested deeper than `MAX_DEPTH`."""
    return TextError(mark, f"nested deeper than {MAX_DEPTH} levels")
