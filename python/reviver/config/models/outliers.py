"""Servers that are taken out by what their own answers show."""

from typing import Annotated

from pydantic import Field

from reviver.config.models.base import Listed, OnOff, Said, Section, Wait, within
from reviver.config.models.statuses import StatusRange
from reviver.config.shares import Number, Percent
from reviver.config.values import Count, Duration

__all__ = ["LatencyOutlier", "Outlier", "SuccessRate"]

_Requests = Annotated[Count, Field(ge=1, le=1_000_000_000)]
_Servers = Annotated[Count, Field(ge=2, le=100_000)]


class SuccessRate(Section):
    """Servers whose share of successes lies far below that of the others. `true` takes all defaults."""

    deviations: Number = Field(
        default=1.9, ge=0.1, le=10, description="So many standard deviations below the mean of all is too few."
    )
    min_requests: _Requests = Field(
        default=100, description="Servers with fewer requests within `every` are not judged."
    )
    min_servers: _Servers = Field(default=3, description="With fewer servers that can be judged none is.")


class LatencyOutlier(Section):
    """Servers that answer far more slowly than the others. `true` takes all defaults."""

    factor: Number = Field(
        default=3.0,
        ge=1.1,
        le=1000,
        description="A mean latency of so many times the median of the others is too long.",
    )
    min_requests: _Requests = Field(
        default=100, description="Servers with fewer requests within `every` are not judged."
    )
    min_servers: _Servers = Field(default=3, description="With fewer servers that can be judged none is.")


class Outlier(Section):
    """When a server is taken out by what its answers show, and for how long. `false`: never."""

    consecutive_errors: Count = Field(
        default=5, ge=0, le=1_000_000, description="So many errors in a row; 0: this is not looked at."
    )
    status: Annotated[tuple[StatusRange, ...], Listed()] = Field(
        default=(StatusRange((500, 599)),),
        description="Statuses that are errors, besides failures of the connection: one, a class or a range.",
        examples=["5xx", [500, "502-504"]],
    )
    success_rate: Annotated[SuccessRate | None, OnOff(), Said("`false`")] = Field(
        default=None,
        description="Servers whose share of successes lies far below that of the others.",
        examples=[True, {"deviations": 2.5}],
    )
    latency: Annotated[LatencyOutlier | None, OnOff(), Said("`false`")] = Field(
        default=None,
        description="Servers that answer far more slowly than the others.",
        examples=[True, {"factor": 5}],
    )
    every: Annotated[Duration, within(Duration(100), Duration.read("1d"))] = Field(
        default=Duration(10_000), description="How often servers are compared with each other."
    )
    eject: Wait = Field(
        default=Duration(10_000),
        description="The first time a server is out for so long, each further time longer by it.",
    )
    max_eject: Annotated[Wait | None, Said("`5m`, or `eject` where that is more")] = Field(
        default=None, description="But no longer than this.", examples=["10m"]
    )
    max_ejected: Percent = Field(
        default=Percent(5000),
        description="So many of the pool's servers may be out at the same time; one may always be.",
    )
