"""JSON Schema of the configuration, for editors that complete and check while one writes."""

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from reviver.config.models import Config
from reviver.config.values import Pair, Quantity

__all__ = ["json_schema"]


class _Generator(GenerateJsonSchema):
    """As a person writes it: a key is left out rather than null, and titles that repeat the key are noise."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """The schema without null."""
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """The default, unless it says nothing."""
        result = super().default_schema(schema)
        if "default" in result and result["default"] in (None, {}, []):
            del result["default"]
        return result

    def encode_default(self, dft: Any) -> Any:
        """The default as it would be written."""
        # a quantity or a pair is a number inside, but is written as text
        if isinstance(dft, (Quantity, Pair)):
            return str(dft)
        if isinstance(dft, BaseModel):
            return self.encode_default(dict(dft))
        if isinstance(dft, dict):
            return {key: self.encode_default(value) for key, value in dft.items() if value is not None}
        return [self.encode_default(item) for item in dft] if isinstance(dft, tuple) else dft

    def field_title_should_be_set(self, schema: Any) -> bool:
        """No title: it would only repeat the key."""
        return False


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the configuration."""
    schema = Config.model_json_schema(schema_generator=_Generator)
    head = {"$schema": _Generator.schema_dialect, "title": "Reviver configuration"}
    return {**schema, **head, "required": ["listeners"]}
