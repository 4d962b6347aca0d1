"""Shares of a whole, and how often something happens, as a person writes them."""

import re
from typing import Annotated, ClassVar, Self

from pydantic import BeforeValidator, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from reviver.config.values import Pair, Quantity, refuse, shown

__all__ = ["Number", "Percent", "Rate", "Rise", "Share"]

_MOST = 1e12
_PERIODS = {"s": 1000, "m": 60_000, "h": 3_600_000}


def _is_number(value: object) -> bool:
    """Whether it is one of a size that people write; what is no number at all (NaN) is not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -_MOST < value < _MOST


class Percent(Quantity):
    """A share in hundredths of a percent, written `5%` or `0.25%`."""

    units: ClassVar[dict[str, int]] = {"%": 100}
    pattern = re.compile(r"^[0-9]{1,9}(?:\.[0-9]{1,2})?\s?%\Z")
    what = "percentage"
    hint = "write a number and a percent sign, at most two digits behind the point: 5%, 0.25%"
    bare = False
    most = 10_000

    @classmethod
    def read(cls, value: object) -> Self:
        """Reads what was written; a validation error says what is wrong with it."""
        if isinstance(value, cls):
            return value
        number = _is_number(value)
        text = str(value) if number else value if isinstance(value, str) and len(value) <= 40 else ""
        if (number or cls.bare) and cls.pattern.match(f"{text}%"):
            if not cls.bare:
                refuse(f"{shown(value)} has no unit", f"did you mean {text}%?")
            text += "%"
        if not cls.pattern.match(text):
            refuse(f"{shown(value)} is not a {cls.what}", cls.hint)
        whole, _, rest = text.strip("+% ").partition(".")
        result = cls(int(whole) * 100 + int(rest.ljust(2, "0")))
        if result > cls.most:
            refuse(f"{shown(value)} is more than {cls(cls.most)}")
        return result

    def __str__(self) -> str:
        return f"{self / 100:.2f}".rstrip("0").rstrip(".") + "%"


class Share(Percent):
    """A percentage that is one of several which make a whole: the sign may be left out."""

    bare = True

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        text, _ = super().__get_pydantic_json_schema__(schema, handler)["anyOf"]
        return {"anyOf": [text, {"type": "number", "minimum": 0, "maximum": 100}]}


class Rise(Percent):
    """How much more something may be, written `+1%` or `1%`."""

    pattern = re.compile(r"^\+?[0-9]{1,9}(?:\.[0-9]{1,2})?\s?%\Z")
    hint = "write +1% or +0.25%"
    most = 100_000


class Rate(Pair):
    """A number, and the milliseconds in which it may happen so often, written `100/s`, `6000/m` or `10/h`."""

    __slots__ = ()

    @property
    def number(self) -> int:
        """So often."""
        return self[0]

    @property
    def period(self) -> int:
        """In so many milliseconds."""
        return self[1]

    @classmethod
    def read(cls, value: object) -> Self:
        """Reads what was written; a validation error says what is wrong with it."""
        if isinstance(value, cls):
            return value
        hint = "write 100/s, 6000/m or 10/h"
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        found = re.fullmatch(r"([0-9]{1,12})(?:/([A-Za-z]*))?", text, re.ASCII) if isinstance(text, str) else None
        if found is None:
            refuse(f"{shown(value)} is not a rate", hint)
        number, unit = found[1], found[2]
        if not unit:
            refuse(f"{shown(value)} does not say in which time", f"did you mean {number}/s?")
        if unit not in _PERIODS:
            refuse(
                f"{shown(value)} is not a rate", f"did you mean {number}/{unit[0]}?" if unit[0] in _PERIODS else hint
            )
        if int(number) > 1_000_000_000:
            refuse(f"{shown(value)} is out of range for a rate", hint)
        return cls((int(number), _PERIODS[unit]))

    def __str__(self) -> str:
        return f"{self.number}/{next(unit for unit, period in _PERIODS.items() if period == self.period)}"

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "pattern": "^[0-9]{1,12}/[smh]$"}


def _number(value: object) -> object:
    # a substituted variable is text, and a number is what it stands for
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value, re.ASCII):
        return float(value)
    if not _is_number(value):
        refuse(f"{shown(value)} is not a number")
    return value


Number = Annotated[float, BeforeValidator(_number, json_schema_input_type=float)]
"""A number, whole or not."""
