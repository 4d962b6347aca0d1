"""Statuses of responses: one, a class, or a range of them."""

import re
from typing import Annotated, Self

from pydantic import AfterValidator, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from reviver.config.models.text import Text
from reviver.config.values import Pair, refuse, shown

__all__ = ["StatusRange", "StatusText", "status_range"]

_STATUSES = re.compile(r"([2-5])xx|([0-9]{3})(?:-([0-9]{3}))?", re.ASCII)
_HINT = "write 404, 5xx or 301-308, within 200 and 599"


def status_range(text: str) -> tuple[int, int] | None:
    """First and last status of `404`, `5xx` or `301-308`; none where it is no such text."""
    found = _STATUSES.fullmatch(text)
    if found is None:
        return None
    if found[1]:
        return int(found[1]) * 100, int(found[1]) * 100 + 99
    first, last = int(found[2]), int(found[3] or found[2])
    return (first, last) if 200 <= first <= last <= 599 else None


def _statuses(value: str) -> str:
    if status_range(value) is None:
        refuse(f"{shown(value)} stands for no statuses", _HINT)
    return value


StatusText = Annotated[Text, AfterValidator(_statuses)]
"""One status, a class or a range, as it was written."""


class StatusRange(Pair):
    """First and last status of a range, written `404`, `5xx` or `301-308`."""

    __slots__ = ()

    @classmethod
    def read(cls, value: object) -> Self:
        """Reads what was written; a validation error says what is wrong with it."""
        if isinstance(value, cls):
            return value
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        found = status_range(text) if isinstance(text, str) else None
        if found is None:
            refuse(f"{shown(value)} stands for no statuses", _HINT)
        return cls(found)

    def __str__(self) -> str:
        first, last = self
        if first == last:
            return str(first)
        return f"{first // 100}xx" if first % 100 == 0 and last == first + 99 else f"{first}-{last}"

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {
            "anyOf": [
                {"type": "integer", "minimum": 200, "maximum": 599},
                {"type": "string", "pattern": "^([2-5]xx|[2-5][0-9]{2}(-[2-5][0-9]{2})?)$"},
            ]
        }
