"""How many requests of one client, of one key or of one route are let through."""

from typing import Annotated

from pydantic import AfterValidator, Field

from reviver.config.models.balancing import told_apart_by
from reviver.config.models.base import Said, Section
from reviver.config.models.text import Name, Text
from reviver.config.shares import Rate
from reviver.config.values import Count, Flag, Kind, refuse, shown

__all__ = ["Limit"]


def _some(value: Rate) -> Rate:
    if not value.number:
        refuse(f"{shown(value)} lets nothing through", "write respond: {status: 429} for a route that is closed")
    return value


class Limit(Section):
    """How many requests are let through; the others get 429. Just the rate may be written in place of the table."""

    rate: Annotated[Rate, AfterValidator(_some)] = Field(
        description="So many evenly in a second, a minute or an hour.", examples=["100/s", "6000/m"]
    )
    burst: Annotated[Count | None, Said("the number of `rate`")] = Field(
        default=None, ge=1, le=1_000_000_000, description="So many at once after a pause, at least 1.", examples=[200]
    )
    by: Annotated[
        Text, AfterValidator(told_apart_by("client", "route", nothing="a limit by nothing")), Kind("text")
    ] = Field(
        default="client",
        description="Whose requests are counted together: those of a `client` (an IPv4 address, or an IPv6 network of "
        "64 bits), all of the `route`, those with the same value of `header:NAME` or `cookie:NAME`, and where there is "
        "none those of the client.",
        examples=["header:x-api-key"],
    )
    name: Annotated[Name | None, Said("that of the route; of further ones with their number, such as `api-2`")] = Field(
        default=None, description="What it is called in the log and in `RateLimit`.", examples=["api-keys"]
    )
    dry_run: Flag = Field(default=False, description="Whether what would be refused is recorded and let through.")
    fields: Flag = Field(
        default=True, description="Whether responses say in `RateLimit` and `RateLimit-Policy` what is left."
    )
