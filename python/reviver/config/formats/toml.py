"""TOML: values by the standard library, places by tree-sitter."""

import re
import tomllib
from typing import Any

import tree_sitter_toml
from tree_sitter import Language, Node, Parser

from reviver.config.formats.document import MAX_DEPTH, Document, TextError, too_deep
from reviver.config.formats.syntax import Columns
from reviver.config.positions import KeyPath, Mark

__all__ = ["parse_toml"]

_KEYS = ("bare_key", "quoted_key", "dotted_key")


def parse_toml(text: str) -> Document:
    """Parses a TOML text. Raises TextError."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _syntax(str(error), text) from None
    except RecursionError:
        raise too_deep(Mark(1, 1)) from None
    except ValueError as error:
        raise TextError(Mark(1, 1), f"TOML: {error}") from None
    raw = text.encode()
    root = Parser(Language(tree_sitter_toml.language())).parse(raw).root_node
    places = _Places(Columns(raw))
    places.document(root)
    places.result.data = _frozen(data, 0)
    return places.result


def _syntax(message: str, text: str) -> TextError:
    found = re.fullmatch(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", message, re.DOTALL)
    if not found:
        return TextError(Mark(1, 1), f"TOML: {message}")
    lines = text.split("\n")
    mark = Mark(int(found[2]), int(found[3])) if found[2] else Mark(len(lines), len(lines[-1]) + 1)
    return TextError(mark, f"TOML: {found[1][:1].lower()}{found[1][1:]}")


def _frozen(value: Any, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise too_deep(Mark(1, 1))
    if isinstance(value, dict):
        return {key: _frozen(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(_frozen(item, depth + 1) for item in value)
    return value


class _Places:
    """Walks the syntax tree; the text is known to be TOML, so tables and keys are taken at their word."""

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self.result = Document()
        self.result.marks[()] = Mark(1, 1)
        self.counts: dict[KeyPath, int] = {}

    def document(self, root: Node) -> None:
        for node in root.named_children:
            if node.type == "pair":
                self.pair(node, ())
            elif node.type in ("table", "table_array_element"):
                self.table(node)

    def table(self, node: Node) -> None:
        head = next(child for child in node.named_children if child.type in _KEYS)
        path: KeyPath = ()
        steps = self.steps(head)
        for number, (name, mark) in enumerate(steps, 1):
            path = self.note((*path, name), mark, mark)
            if number == len(steps) and node.type == "table_array_element":
                self.counts[path] = self.counts.get(path, -1) + 1
            if path in self.counts:
                path = (*path, self.counts[path])
                self.result.marks.setdefault(path, mark)
        for child in node.named_children:
            if child.type == "pair":
                self.pair(child, path)

    def pair(self, node: Node, path: KeyPath) -> None:
        key, value = [child for child in node.named_children if child.type != "comment"]
        steps = self.steps(key)
        for number, (name, mark) in enumerate(steps, 1):
            scalar = number == len(steps) and value.type not in ("array", "inline_table")
            path = self.note((*path, name), mark, self.columns.mark(value) if scalar else mark)
        self.value(value, path)

    def value(self, node: Node, path: KeyPath) -> None:
        if len(path) > MAX_DEPTH:
            raise too_deep(self.columns.mark(node))
        children = [child for child in node.named_children if child.type != "comment"]
        if node.type == "inline_table":
            for child in children:
                self.pair(child, path)
        elif node.type == "array":
            for index, child in enumerate(children):
                self.result.marks[(*path, index)] = self.columns.mark(child)
                self.value(child, (*path, index))

    def note(self, path: KeyPath, key: Mark, mark: Mark) -> KeyPath:
        self.result.keys.setdefault(path, key)
        self.result.marks.setdefault(path, mark)
        return path

    def steps(self, node: Node) -> list[tuple[str, Mark]]:
        if node.type == "dotted_key":
            return [step for child in node.named_children for step in self.steps(child)]
        text = (node.text or b"").decode()
        name = next(iter(tomllib.loads(f"{text} = 0"))) if node.type == "quoted_key" else text
        return [(name, self.columns.mark(node))]
