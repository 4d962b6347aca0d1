"""The autopilot of a canary: how its weight grows, and what takes it back.

Nothing of it is part of the plan: the control plane reads these tables, and sets weights.
"""

import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field

from reviver.config.models.base import Listed, Said, Section, within
from reviver.config.models.text import Text, Url, is_url
from reviver.config.shares import Percent, Rise
from reviver.config.values import Count, Duration, Flag, Written, refuse, shown

__all__ = ["AbortOn", "Autopilot", "Gate", "Gates"]


class Gate(Written):
    """What has to agree: a URL, or a function as `FILE.py:FUNCTION`, the file relative to the configuration."""

    __slots__ = ()

    @property
    def is_url(self) -> bool:
        """Whether it is a webhook, not a function."""
        return "://" in self

    @property
    def file(self) -> str:
        """The file as it was written; empty for a URL."""
        return "" if self.is_url else self.rpartition(":")[0]

    @property
    def function(self) -> str:
        """The function's name; empty for a URL."""
        return "" if self.is_url else self.rpartition(":")[2]

    @classmethod
    def read(cls, value: object) -> Self:
        """Reads what was written; a validation error says what is wrong with it."""
        if isinstance(value, cls):
            return value
        hint = "write https://HOST/PATH or gate.py:function"
        if not isinstance(value, str):
            refuse(f"{shown(value)} is neither a URL nor a function", hint)
        if "://" in value:
            if not is_url(value):
                refuse(f"{shown(value)} is not a URL", "write https://HOST/PATH")
            return cls(value)
        file, _, function = value.rpartition(":") if ":" in value else (value, "", "")
        if file.endswith(".py") and "\0" not in file:
            if function.isidentifier():
                return cls(value)
            refuse(f"{shown(value)} names no function", f"write {shown(file)[1:-1]}:FUNCTION")
        if re.fullmatch(r"[A-Za-z_][\w./]*", file) and function.isidentifier():
            hint = f"did you mean {shown(file.replace('.', '/'))[1:-1]}.py:{shown(function)[1:-1]}?"
        refuse(f"{shown(value)} is neither a URL nor a function", hint)


class Gates(Section):
    """What has to agree before the weight grows, and after it has.

    A webhook agrees by a status 2xx to a POST with JSON, a function by returning true or nothing.
    """

    before: Annotated[tuple[Gate, ...], Listed()] = Field(
        default=(),
        description="Asked before each step.",
        examples=["https://deploy.example/may-grow", ["gates.py:business_hours"]],
    )
    after: Annotated[tuple[Gate, ...], Listed()] = Field(
        default=(), description="Asked when a step has passed its judgement.", examples=["gates.py:smoke_test"]
    )


_Points = Annotated[Rise, within(Rise(1), Rise(10_000))]
_Relative = Annotated[Rise, within(Rise(1), Rise(100_000))]


def _judged(value: str) -> str:
    if not re.fullmatch(r"[2-5]xx|[2-5][0-9][0-9]", value, re.ASCII):
        lower = value.lower()
        meant = f"did you mean {lower}?" if re.fullmatch(r"[2-5]xx", lower) else "write 429, or 4xx for all of them"
        refuse(f"{shown(value)} is neither a status nor a class of them", meant)
    return value


class AbortOn(Section):
    """What the canary may be worse by, compared with the stable version; more takes it back to 0 %."""

    error_rate: _Points | None = Field(
        default=None,
        description="Its share of answers with a status of 500 and more, in percentage points.",
        examples=["+1%"],
    )
    p50: _Relative | None = Field(
        default=None, description="The median of its time to the first byte, in relation.", examples=["+20%"]
    )
    p90: _Relative | None = Field(default=None, description="The 90th percentile of that.", examples=["+20%"])
    p95: _Relative | None = Field(default=None, description="The 95th percentile of that.", examples=["+20%"])
    p99: _Relative | None = Field(default=None, description="The 99th percentile of that.", examples=["+50%"])
    status: dict[Annotated[Text, AfterValidator(_judged)], _Points] = Field(
        default={},
        description="The share of a status, or a class of them, in percentage points.",
        examples=[{"4xx": "+5%", "429": "+1%"}],
    )

    @property
    def quantiles(self) -> dict[str, Rise]:
        """How much longer each quantile of latency may be, in hundredths of a percent, by its name."""
        written = {"p50": self.p50, "p90": self.p90, "p95": self.p95, "p99": self.p99}
        return {name: rise for name, rise in written.items() if rise is not None}


def _something(value: AbortOn) -> AbortOn:
    if value.error_rate is None and not value.quantiles and not value.status:
        refuse("names nothing, so that no harm would take the canary back", 'write {error_rate: "+1%"}')
    return value


class Autopilot(Section):
    """Grows the weight of a canary step by step while it does no worse, and takes it back where it does.

    `true` in place of the table takes all defaults.
    """

    steps: tuple[Percent, ...] = Field(
        default=(Percent(100), Percent(500), Percent(2500), Percent(5000), Percent(10_000)),
        min_length=1,
        description="The weights, each larger than the one before it.",
    )
    every: Annotated[Duration, within(Duration(100), Duration.read("30d"))] = Field(
        default=Duration(60_000), description="How long each step lasts at least."
    )
    min_requests: Count = Field(
        default=200,
        ge=1,
        le=1_000_000_000,
        description="So many requests of each side are judged at least, at each step.",
    )
    abort_on: Annotated[AbortOn, AfterValidator(_something), Said('`{error_rate: "+1%", p95: "+20%"}`')] = Field(
        default=AbortOn.model_construct(error_rate=Rise(100), p95=Rise(2000)),
        description="What takes the canary back. Of a table only what is written there counts.",
    )
    confidence: Annotated[Percent, within(Percent(5000), Percent(9999))] = Field(
        default=Percent(9500),
        description="How sure a judgement has to be; the rest to 100% bounds the share of canaries that are taken back "
        "for nothing.",
    )
    dry_run: Flag = Field(default=False, description="Whether it judges and tells, and changes no weight.")
    gates: Gates = Field(
        default=Gates.model_construct(), description="What else has to agree before the weight grows, and after."
    )
    webhooks: Annotated[tuple[Url, ...], Listed()] = Field(
        default=(), description="Told of each event, by a POST with JSON.", examples=["https://chat.example/hook"]
    )

    @property
    def weights(self) -> tuple[int, ...]:
        """The steps in hundredths of a percent."""
        return tuple(int(step) for step in self.steps)
