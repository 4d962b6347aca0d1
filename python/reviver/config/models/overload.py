"""What is refused where there is more than servers can take."""

from typing import Literal

from pydantic import Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from reviver.config.models.base import Section
from reviver.config.shares import Percent
from reviver.config.values import Count, refuse, shown

__all__ = ["Adaptive", "Priority", "Tolerance"]

Priority = Literal["low", "normal", "high"]


class Tolerance(Percent):
    """How much of its mean a latency may reach, in whole percent."""

    most = 100_000

    @classmethod
    def read(cls, value: object) -> "Tolerance":
        """Reads what was written; a validation error says what is wrong with it."""
        share = super().read(value)
        if share < 10_000:
            refuse(f"{shown(share)} is not between 100% and 1000%", "100% is the mean itself")
        if share % 100:
            refuse(f"{shown(share)} is not in whole percent")
        return share

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "pattern": r"^[0-9]{3,4}(?:\.0{1,2})?\s?%$"}


class Adaptive(Section):
    """A bound on the requests of a pool that follows its latency: lower while that grows. `true` takes all defaults."""

    min: Count = Field(
        default=10, ge=1, le=10_000_000, description="So many at the same time are let through whatever the latency."
    )
    max: Count = Field(default=1000, ge=1, le=10_000_000, description="No more at the same time than this.")
    tolerance: Tolerance = Field(
        default=Tolerance(15_000),
        description="How much of its long-term mean the latency may reach before fewer are let through, 100% to 1000%.",
    )
