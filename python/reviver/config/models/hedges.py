"""A second try beside the first, where the first takes longer than most."""

import re
from typing import Self

from pydantic import Field

from reviver.config.models.base import Section, Wait
from reviver.config.values import Duration, Written, refuse, shown

__all__ = ["After", "Hedge"]


class After(Written):
    """How long the first try is waited for alone: a duration, or a quantile of the pool's time to the first byte."""

    __slots__ = ()

    @property
    def quantile(self) -> int:
        """In hundredths of a percent; 0 for a duration."""
        return round(float(self[1:]) * 100) if self.startswith("p") else 0

    @property
    def milliseconds(self) -> int:
        """0 for a quantile."""
        return 0 if self.quantile else int(Duration.read(str(self)))

    @classmethod
    def read(cls, value: object) -> Self:
        """Reads what was written; a validation error says what is wrong with it."""
        if isinstance(value, cls):
            return value
        if isinstance(value, str) and re.fullmatch(r"p[1-9][0-9]?(?:\.[0-9]{1,2})?", value):
            return cls(value)
        if not isinstance(value, str) or value.startswith("p"):
            refuse(f"{shown(value)} is neither a quantile nor a duration", "write a quantile such as p95, or 50ms")
        after = cls(value)
        if after.milliseconds < 1:
            refuse(f"{shown(value)} is no time", "write a quantile such as p95, or a duration such as 50ms")
        return after


class Hedge(Section):
    """A second try on another server while the first is still waited for; the first answer counts.

    Only for requests that can be sent twice: of an idempotent method, whose body has been read whole. It counts against
    the `retry_budget` of the pool. Just `after` may be written in place of the table.
    """

    after: After = Field(
        description="How long the first try is waited for alone: a duration, or a quantile of the time that the pool's "
        "servers took to the first byte of an answer (none is known before 100 answers).",
        examples=["p95", "50ms"],
    )
    min: Wait = Field(default=Duration(10), description="With a quantile: so long at least.")
