"""What all sections of the configuration share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from reviver.config.values import Duration, Quantity, Size, refuse, shown

__all__ = [
    "BoundedSize", "CountOrNone", "Listed", "OnOff", "Said", "Section", "Shorthand", "Switch", "Wait", "Worded",
    "within",
]  # fmt: skip


class Section(BaseModel):
    """A table of the configuration: frozen, and closed to keys that it does not know.

    Only the root's validator is built, for start-up time; so defaults that are tables are made by
    `model_construct`, which needs none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)


@dataclass(frozen=True)
class Said:
    """What the manual says for a default that is worked out, not fixed."""

    default: str


class Listed:
    """Marks a list that may be written as one value."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def listed(value: Any) -> tuple[Any, ...]:
            return tuple(value) if isinstance(value, (list, tuple)) else (value,)

        return core_schema.no_info_before_validator_function(listed, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        array = handler(schema)
        return {"anyOf": [array.get("items", {}), array]}


@dataclass(frozen=True)
class Shorthand:
    """Marks a table that may be written as the value of one of its keys."""

    key: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def spelled_out(value: Any) -> Any:
            return value if isinstance(value, (dict, source)) else {self.key: value}

        return core_schema.no_info_before_validator_function(spelled_out, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        table = handler(schema)
        properties = handler.resolve_ref_schema(table)["properties"]
        short = {k: v for k, v in properties[self.key].items() if k in ("type", "enum", "anyOf")}
        return {"anyOf": [short, table]}


class Switch:
    """Marks a table that may be written as `true`, which takes the default of each of its keys."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def spelled_out(value: Any) -> Any:
            if value is False or value == "false":
                refuse("cannot be false", "leave it out")
            return {} if value is True or value == "true" else value

        return core_schema.no_info_before_validator_function(spelled_out, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"const": True}, handler(schema)]}


@dataclass(frozen=True)
class OnOff:
    """Marks a table that may be written as `true`, which takes the default of each of its keys, or as `false`."""

    off: Mapping[str, Any] | None = None
    """The table that `false` stands for; none: as if it was left out."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def spelled_out(value: Any) -> Any:
            if value is False or value == "false":
                return self.off
            if value is True or value == "true":
                return {}
            if not isinstance(value, (dict, BaseModel)):
                what = "a list" if isinstance(value, (list, tuple)) else shown(value)
                refuse(f"is {what}, where true, false or a table is needed")
            return value

        return core_schema.no_info_before_validator_function(spelled_out, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"type": "boolean"}, handler(schema)]}


@dataclass(frozen=True)
class Worded:
    """Marks a table that may be written as one of some words."""

    words: Mapping[str, Mapping[str, Any]]
    """The table that each word stands for."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def spelled_out(value: Any) -> Any:
            if isinstance(value, str):
                if value not in self.words:
                    refuse(f"is {shown(value)}, where {' or '.join(self.words)} or a table is needed")
                return self.words[value]
            return value

        return core_schema.no_info_before_validator_function(spelled_out, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"enum": list(self.words)}, handler(schema)]}


def within(least: Quantity, most: Quantity) -> AfterValidator:
    """Bounds on a duration or a size, both inclusive."""

    def check(value: Quantity) -> Quantity:
        if not least <= value <= most:
            refuse(f"{shown(value)} is not between {least} and {most}")
        return value

    return AfterValidator(check)


Wait = Annotated[Duration, within(Duration(1), Duration.read("365d"))]
"""How long something is waited for: not nothing, and not for ever."""


class BoundedSize(Size):
    """A size, or `none` for no bound (0)."""

    @classmethod
    def read(cls, value: object) -> "BoundedSize":
        """Reads what was written; a validation error says what is wrong with it."""
        return cls(0) if value == "none" else super().read(value)

    def __str__(self) -> str:
        return super().__str__() if self else "none"

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        size = super().__get_pydantic_json_schema__(schema, handler)
        return {"anyOf": [*size["anyOf"], {"const": "none"}]}


def _count_or_none(most: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if value == "none":
            return 0
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            refuse(f"{shown(value)} is not a number from 1 to {most}", "write none for no bound")
        return value

    return read


CountOrNone = Annotated[int, BeforeValidator(_count_or_none(2**32 - 1), json_schema_input_type=int | str)]
"""A whole number of at least 1, or `none` for no bound (0)."""
