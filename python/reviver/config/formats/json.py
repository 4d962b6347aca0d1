"""JSON: values by the standard library, places by tree-sitter."""

import json
import re
from typing import Any, NoReturn

import tree_sitter_json
from tree_sitter import Language, Node, Parser

from reviver.config.formats.document import MAX_DEPTH, Document, TextError, too_deep
from reviver.config.formats.syntax import Columns
from reviver.config.positions import KeyPath, Mark

__all__ = ["parse_json"]


_STRING_OR_CONSTANT = re.compile(r'"(?:[^"\\]|\\.)*"|NaN|-?Infinity')


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _place_of_constant(text: str) -> Mark:
    for found in _STRING_OR_CONSTANT.finditer(text):
        if not found[0].startswith('"'):
            before = text[: found.start()]
            return Mark(before.count("\n") + 1, len(before) - before.rfind("\n"))
    return Mark(1, 1)


def parse_json(text: str) -> Document:
    """Parses a JSON text; its root must be a table. Raises TextError."""
    try:
        json.loads(text, parse_constant=_constant)
    except json.JSONDecodeError as error:
        sentence = error.msg[:1].lower() + error.msg[1:]
        raise TextError(Mark(error.lineno, error.colno), f"JSON: {sentence}") from None
    except RecursionError:
        raise too_deep(Mark(1, 1)) from None
    except ValueError as error:
        raise TextError(_place_of_constant(text), f"JSON: {error}") from None
    raw = text.encode()
    root = Parser(Language(tree_sitter_json.language())).parse(raw).root_node
    builder = _Builder(Columns(raw))
    values = _named(root)
    if values:
        builder.result.marks[()] = builder.columns.mark(values[0])
        builder.result.data = builder.value(values[0], ())
    return builder.result


def _named(node: Node) -> list[Node]:
    return [child for child in node.named_children if child.type != "comment"]


class _Builder:
    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self.result = Document()

    def value(self, node: Node, path: KeyPath) -> Any:
        if len(path) > MAX_DEPTH:
            raise too_deep(self.columns.mark(node))
        if node.type == "object":
            entries: dict[str, Any] = {}
            for pair in _named(node):
                name, value = _named(pair)
                key = json.loads(name.text or b'""')
                at = (*path, key)
                self.result.enter(at, self.columns.mark(name))
                self.result.marks[at] = self.columns.mark(name if value.type in ("object", "array") else value)
                entries[key] = self.value(value, at)
            return entries
        if node.type == "array":
            items = []
            for index, item in enumerate(_named(node)):
                self.result.marks[(*path, index)] = self.columns.mark(item)
                items.append(self.value(item, (*path, index)))
            return tuple(items)
        return json.loads(node.text or b"null")
