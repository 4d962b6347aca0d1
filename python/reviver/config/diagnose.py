"""From what validation found to diagnostics: a sentence, a hint, the place.

Where a part is wrong, the rest is still checked: wrong parts are cut out (`Cut`) and what remains is validated,
so that all errors are shown at once.
"""

import difflib
import re
from collections.abc import Iterable, Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from reviver.config.findings import Finding
from reviver.config.models import Config
from reviver.config.positions import KeyPath, Positions
from reviver.config.values import shown

__all__ = ["Cut", "unusable", "validate"]

_LATER = {
    "admin", "block", "country", "geo", "hedge", "hooks", "intercept", "rules",
}  # fmt: skip

_KEYS = {
    "adaptive_concurrency": "adaptive", "circuit_breaker": "max_requests", "circuit_breaking": "max_requests",
    "max_connections_per_client": "connections_per_client", "shadow": "mirror", "mirror_to": "mirror",
}  # fmt: skip
"""Keys that have another name here."""

_MEANT = {
    "http2": "h2", "http/2": "h2", "http/2.0": "h2", "h2c": "h2", "http1": "http/1.1", "h1": "http/1.1",
    "rr": "round_robin", "wrr": "round_robin", "leastconn": "least_requests", "least_conn": "least_requests",
    "least_connections": "least_requests", "p2c": "power_of_two", "ip_hash": "hash", "ring_hash": "hash",
    "consistent_hash": "hash", "ewma": "peak_ewma", "least_time": "peak_ewma",
}  # fmt: skip
"""What people call what has another name here."""


class Cut:
    """A tree of which wrong parts were cut out, and how its key paths relate to what was written."""

    def __init__(self, data: Any) -> None:
        self.data = data
        self._kept: dict[KeyPath, list[int]] = {}

    def written(self, path: Iterable[str | int]) -> KeyPath:
        """The path in the text of what stands at `path` in the cut tree."""
        result: KeyPath = ()
        for step in path:
            kept = self._kept.get(result, [])
            result = (*result, kept[step] if isinstance(step, int) and step < len(kept) else step)
        return result

    def without(self, paths: Iterable[KeyPath]) -> "Cut":
        """Cuts out what stands at these paths (of the text)."""
        result = Cut(None)
        result.data = self._copy(self.data, (), frozenset(paths), result._kept)
        return result

    def _copy(self, data: Any, path: KeyPath, wrong: frozenset[KeyPath], kept: dict[KeyPath, list[int]]) -> Any:
        if isinstance(data, dict):
            at = {key: (*path, key) for key in data}
            return {k: self._copy(v, at[k], wrong, kept) for k, v in data.items() if at[k] not in wrong}
        if isinstance(data, tuple):
            numbers = self._kept.get(path, list(range(len(data))))
            pairs = [(n, item) for n, item in zip(numbers, data, strict=True) if (*path, n) not in wrong]
            kept[path] = [n for n, _ in pairs]
            return tuple(self._copy(item, (*path, n), wrong, kept) for n, item in pairs)
        return data


def unusable(data: Any, path: KeyPath = ()) -> Iterator[Finding]:
    """Values that no key takes: nothing at all, and what cannot be sent on as text or number."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield from unusable(value, (*path, key))
    elif isinstance(data, tuple):
        for index, value in enumerate(data):
            yield from unusable(value, (*path, index))
    elif data is None:
        yield Finding(path, "has no value", "leave it out, or write {} for a table without keys", at_key=True)
    elif isinstance(data, str) and re.search("[\ud800-\udfff]", data):
        yield Finding(path, "holds half of a surrogate pair, which is no character")


def validate(cut: Cut, positions: Positions) -> tuple[Config | None, Cut, list[Finding]]:
    """Validates a tree. With findings the model is of what is left of it, or none when nothing useful is."""
    findings: list[Finding] = []
    for attempt in range(20):
        try:
            return Config.model_validate(cut.data), cut, findings
        except ValidationError as error:
            details = error.errors(include_url=False)
        wrong = set()
        for detail in details:
            path = cut.written(detail["loc"])
            if attempt == 0 and (finding := _finding(detail, path, positions, details)):
                findings.append(finding)
            # a table that lacks a key is of no use as a whole
            path = positions.spelled(positions.longest(path[:-1] if detail["type"] == "missing" else path))
            if not path:
                return None, cut, findings
            wrong.add(path)
        cut = cut.without(wrong)
    return None, cut, findings


def _finding(detail: ErrorDetails, path: KeyPath, positions: Positions, details: list[ErrorDetails]) -> Finding | None:
    """One error of validation in our words; none where another finding says it already."""
    value, context = detail["input"], detail.get("ctx", {})
    at = positions.longest(path)
    match detail["type"]:
        case "refused":
            return Finding(at, str(context["sentence"]), context["hint"])
        case "missing":
            return None if positions.written(path) else Finding(path, "is missing")
        case "extra_forbidden":
            return Finding(path, "is not a known key", _key_hint(str(path[-1]), path[:-1]), at_key=True)
        case "literal_error":
            choices = [c.strip("'") for c in str(context["expected"]).replace(" or ", ", ").split(", ")]
            meant = _MEANT.get(str(value).lower())
            close = [meant] if meant in choices else difflib.get_close_matches(str(value), choices, 1)
            said = choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}"
            return Finding(at, f"{shown(value)} is not {said}", f"did you mean {close[0]}?" if close else None)
        case "greater_than_equal":
            return Finding(at, f"{shown(value)} is less than {context['ge']}")
        case "less_than_equal":
            return Finding(at, f"{shown(value)} is more than {context['le']}")
        case "too_short" | "string_too_short":
            loc = detail["loc"]
            inner = any(len(d["loc"]) > len(loc) and d["loc"][: len(loc)] == loc for d in details)
            return None if inner else Finding(at, "is empty", "give at least one", at_key=True)
        case "model_type" | "dict_type":
            return Finding(at, f"is {_kind(value)}, where a table of keys is needed")
        case "tuple_type":
            hint = None if isinstance(value, dict) or "-----BEGIN" in str(value) else f"write [{value}]"
            return Finding(at, f"is {_kind(value)}, where a list is needed", hint)
        case _:
            return Finding(at, detail["msg"][:1].lower() + detail["msg"][1:])


def _key_hint(name: str, table: KeyPath) -> str | None:
    known = _keys(Config, table)
    if name in _LATER:
        return "not in this version"
    meant = _KEYS.get(name)
    if close := [meant] if meant in known else difflib.get_close_matches(name, known, 1):
        return f"did you mean {close[0]}?"
    return f"known here: {', '.join(known)}" if known else None


def _kind(value: object) -> str:
    if isinstance(value, dict):
        return "a table"
    return "a list" if isinstance(value, tuple) else shown(value)


def _keys(kind: Any, path: KeyPath) -> list[str]:
    """The keys that a table of the configuration at `path` may have; none where it is no such table."""
    origin = get_origin(kind)
    if origin is Annotated:
        return _keys(get_args(kind)[0], path)
    if origin in (Union, UnionType):
        return next((keys for arm in get_args(kind) if (keys := _keys(arm, path))), [])
    if origin is Literal:
        return []
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        fields = {field.alias or name: field for name, field in kind.model_fields.items()}
        if not path:
            return list(fields)
        return _keys(fields[str(path[0])].annotation, path[1:]) if path[0] in fields else []
    if origin is tuple:
        # a list that may be written as one value
        return _keys(get_args(kind)[0], path[1:] if path and isinstance(path[0], int) else path)
    if origin is dict and path:
        return _keys(get_args(kind)[1], path[1:])
    return []
