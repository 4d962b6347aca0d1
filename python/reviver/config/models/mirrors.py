"""Copies of requests for another pool, whose answers nobody gets."""

from typing import Annotated

from pydantic import Field

from reviver.config.models.base import OnOff, Said, Section, within
from reviver.config.models.text import FieldName, Text
from reviver.config.shares import Percent
from reviver.config.values import Count, Flag, Size

__all__ = ["Compare", "Mirror", "RouteMirror"]

_KIB = 1024


class Compare(Section):
    """What of the answers to a copy is compared beside their status. `true` takes all defaults.

    A copy of `GET` or `HEAD` goes to the mirror's pool once, and twice more to the pool that answers people: what
    differs between those two differs by itself and is not judged. Other methods are copied and not compared.
    """

    headers: tuple[FieldName, ...] = Field(
        default=("content-type", "location", "cache-control"),
        description="Response fields. What cookies and other secrets hold is never told, only how long they are.",
        examples=[["content-type", "etag"]],
    )
    body: Flag = Field(default=True, description="Whether bodies are compared.")


class Mirror(Section):
    """Copies of requests for another pool. Just the share may be written in place of the table."""

    percent: Percent = Field(
        description="Share of the requests that are copied, in steps of 0.01%; those that the mirror's pool answers "
        "itself are not.",
        examples=["10%"],
    )
    to: Annotated[Text | None, Said("the canary's; needed with `variants`")] = Field(
        default=None, description="The pool that gets the copies.", examples=["shop-v2"]
    )
    body: Annotated[Size, within(Size(0), Size(16 * _KIB * _KIB))] = Field(
        default=Size(64 * _KIB),
        description="A request with a longer body, or one whose length is not known before, is not copied; at most "
        "16MiB.",
    )
    max: Count = Field(
        default=100,
        ge=1,
        le=1_000_000,
        description="Copies under way at the same time on each worker; what comes beyond is not copied.",
    )
    compare: Annotated[Compare | None, OnOff(), Said("`false`")] = Field(
        default=None,
        description="Whether answers are compared, for `reviver canary diff`; otherwise they are thrown away unseen.",
        examples=[True, {"headers": ["content-type"], "body": False}],
    )


class RouteMirror(Mirror):
    """Copies of a route's requests for another pool. Just the pool may be written in place of the table."""

    percent: Percent = Field(
        default=Percent(10_000), description="Share of the requests that are copied, in steps of 0.01%."
    )
    to: Text = Field(description="The pool that gets the copies.", examples=["api-v2"])
