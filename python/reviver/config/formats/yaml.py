"""YAML, with the core schema of YAML 1.2: `NO` and `22:30` are text, and only `true` and `false` are booleans.

The events of libyaml are put together here rather than by PyYAML's composer: that one recurses without a
bound, keeps the last of two equal keys, and resolves scalars by YAML 1.1.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from reviver.config.formats.document import MAX_DEPTH, Document, TextError, too_deep
from reviver.config.positions import KeyPath, Mark

__all__ = ["parse_yaml"]

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

MAX_EXPANDED = 100_000
"""Values that aliases may add to those that are written (no billion laughs)."""

# YAML 1.2.2, section 10.3.2 (core schema: tag resolution)
_NULL = re.compile(r"(?:null|Null|NULL|~|)\Z")
_BOOL = re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z")
_INT = re.compile(r"[-+]?[0-9]+\Z|0o[0-7]+\Z|0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z|[-+]?\.(?:inf|Inf|INF)\Z|\.(?:nan|NaN|NAN)\Z"
)
_PREFIX = "tag:yaml.org,2002:"
# what is not in the character set of YAML 1.2.2, section 5.1
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")


@dataclass
class _Scalar:
    mark: Mark
    text: str
    tag: str


@dataclass
class _List:
    mark: Mark
    items: list["_Node"]


@dataclass
class _Table:
    mark: Mark
    entries: list[tuple[_Scalar, "_Node"]]


_Node = _Scalar | _List | _Table


def parse_yaml(text: str) -> Document:
    """Parses one YAML document; an empty one is an empty table. Raises TextError."""
    if found := _UNPRINTABLE.search(text):
        before = text[: found.start()]
        mark = Mark(before.count("\n") + 1, len(before) - before.rfind("\n"))
        raise TextError(
            mark, f"the character U+{ord(found[0]):04X} is not allowed in YAML", 'write it as "\\x.." in quotes'
        )
    try:
        root = _Composer(yaml.parse(text, Loader=_LOADER)).document()
    except yaml.MarkedYAMLError as error:
        raise _syntax(error, text) from None
    except yaml.YAMLError as error:
        raise TextError(Mark(1, 1), f"YAML: {error}") from None
    return _Builder(len(text) + MAX_EXPANDED).document(root)


def _syntax(error: yaml.MarkedYAMLError, text: str) -> TextError:
    where = error.problem_mark or error.context_mark
    mark = Mark(where.line + 1, where.column + 1) if where else Mark(1, 1)
    lines = text.split("\n")
    at = lines[mark.line - 1][mark.column - 1 : mark.column] if mark.line <= len(lines) else ""
    hint = None
    if at == "\t":
        hint = "YAML is indented with spaces, not tabs"
    elif (at in "@`%" and at) or "alias" in (error.context or ""):
        hint = "put the value in quotes"
    context = f" {error.context}" if error.context else ""
    return TextError(mark, f"YAML: {error.problem}{context}", hint)


class _Composer:
    """Events to nodes; an alias is the node that it stands for."""

    def __init__(self, events: Iterator[Event]) -> None:
        self.events = events
        self.anchors: dict[str, _Node] = {}

    def document(self) -> _Node | None:
        root = None
        for event in self.events:
            if isinstance(event, DocumentStartEvent):
                if root is not None:
                    raise TextError(_mark(event), "a second document begins", "a configuration is one YAML document")
                root = self.node(next(self.events), 0)
            elif isinstance(event, StreamEndEvent):
                break
        return root

    def node(self, event: Event, depth: int) -> _Node:
        mark = _mark(event)
        if depth > MAX_DEPTH:
            raise too_deep(mark)
        if isinstance(event, AliasEvent):
            if event.anchor not in self.anchors:
                raise TextError(mark, f"there is no anchor &{event.anchor} before this alias")
            return self.anchors[event.anchor]
        anchor: str | None = getattr(event, "anchor", None)
        node: _Node
        if isinstance(event, ScalarEvent):
            node = _Scalar(mark, event.value, _tag(event, mark))
        elif isinstance(event, SequenceStartEvent):
            _known(event.tag, "seq", mark)
            node = _List(mark, [])
            while not isinstance(event := next(self.events), SequenceEndEvent):
                node.items.append(self.node(event, depth + 1))
        elif isinstance(event, MappingStartEvent):
            _known(event.tag, "map", mark)
            node = _Table(mark, [])
            while not isinstance(event := next(self.events), MappingEndEvent):
                key = self.node(event, depth + 1)
                if not isinstance(key, _Scalar):
                    raise TextError(key.mark, "a key is a table or a list", "put the value in quotes")
                node.entries.append((key, self.node(next(self.events), depth + 1)))
        else:
            raise TextError(mark, "YAML: a value is missing")
        # an anchor is known only after its node: no cycle can be written
        if anchor:
            self.anchors[anchor] = node
        return node


def _mark(event: Event) -> Mark:
    start = event.start_mark
    return Mark(start.line + 1, start.column + 1) if start else Mark(1, 1)


def _known(tag: str | None, kind: str, mark: Mark) -> None:
    if tag not in (None, "!", _PREFIX + kind):
        raise TextError(mark, f"the tag {tag} is not known here")


def _tag(event: ScalarEvent, mark: Mark) -> str:
    if event.tag in (None, "!"):
        plain = event.implicit[0] and event.tag is None
        if not plain:
            return "str"
        for tag, pattern in (("null", _NULL), ("bool", _BOOL), ("int", _INT), ("float", _FLOAT)):
            if pattern.match(event.value):
                return tag
        return "merge" if event.value == "<<" else "str"
    tag = event.tag.removeprefix(_PREFIX)
    patterns = {"null": _NULL, "bool": _BOOL, "int": _INT, "float": _FLOAT, "str": re.compile("")}
    if tag not in patterns or event.tag == tag:
        raise TextError(mark, f"the tag {event.tag} is not known here")
    if not patterns[tag].match(event.value):
        raise TextError(mark, f"this is not of the type {tag} that its tag claims")
    return str(tag)


class _Builder:
    """Nodes to a document; bounded, since one node can be reached by many aliases."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.result = Document()

    def document(self, root: _Node | None) -> Document:
        if root is None or (isinstance(root, _Scalar) and root.tag == "null"):
            self.result.data = {}
            self.result.marks[()] = Mark(1, 1)
        else:
            self.result.marks[()] = root.mark
            self.result.data = self.value(root, (), 0)
        return self.result

    def spend(self, node: _Node, depth: int) -> None:
        self.budget -= 1
        if self.budget < 0:
            raise TextError(node.mark, "aliases blow this document up beyond any use")
        if depth > MAX_DEPTH:
            raise too_deep(node.mark)

    def value(self, node: _Node, path: KeyPath, depth: int) -> Any:
        self.spend(node, depth)
        match node:
            case _Scalar():
                return _scalar(node)
            case _List():
                items = []
                for index, item in enumerate(node.items):
                    at = (*path, index)
                    self.result.marks[at] = item.mark
                    items.append(self.value(item, at, depth + 1))
                return tuple(items)
            case _Table():
                return self.table(node, path, depth)

    def table(self, node: _Table, path: KeyPath, depth: int) -> dict[str, Any]:
        entries: dict[str, Any] = {}
        for key, value in node.entries:
            if key.tag == "merge":
                continue
            at = (*path, key.text)
            self.result.enter(at, key.mark)
            self.put(entries, key, value, at, depth)
        for base in _bases(node):
            self.merge(entries, base, path, depth)
        return entries

    def merge(self, entries: dict[str, Any], base: _Table, path: KeyPath, depth: int) -> None:
        """Takes over what `base` has and `entries` has not; what is nearer wins."""
        self.spend(base, depth)
        for key, value in base.entries:
            if key.tag != "merge" and key.text not in entries:
                at = (*path, key.text)
                self.result.keys[at] = key.mark
                self.put(entries, key, value, at, depth)
        for further in _bases(base):
            self.merge(entries, further, path, depth + 1)

    def put(self, entries: dict[str, Any], key: _Scalar, value: _Node, at: KeyPath, depth: int) -> None:
        self.result.marks[at] = value.mark if isinstance(value, _Scalar) and value.text else key.mark
        entries[key.text] = self.value(value, at, depth + 1)


def _bases(node: _Table) -> Iterator[_Table]:
    """The tables that the merge keys of a table name, in order."""
    for key, value in node.entries:
        if key.tag == "merge":
            for base in value.items if isinstance(value, _List) else [value]:
                if not isinstance(base, _Table):
                    raise TextError(base.mark, "<<: takes a table or a list of tables")
                yield base


def _scalar(node: _Scalar) -> Any:
    try:
        match node.tag:
            case "null":
                return None
            case "bool":
                return node.text.lower() == "true"
            case "int":
                return int(node.text, {"0o": 8, "0x": 16}.get(node.text[:2], 10))
            case "float":
                return float(node.text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    except ValueError:
        raise TextError(node.mark, "this number is too long") from None
    return node.text
