"""Splits: several versions of one application, and who gets which."""

from typing import Annotated

from pydantic import AfterValidator, Field

from reviver.config.models.autopilot import Autopilot
from reviver.config.models.balancing import KeptFor
from reviver.config.models.base import Said, Section, Shorthand, Switch
from reviver.config.models.mirrors import Mirror
from reviver.config.models.text import CookieName, FieldName, ResponseRuleName, Text
from reviver.config.shares import Percent, Share
from reviver.config.values import Duration, Flag, Network, refuse

__all__ = ["Force", "Split", "SplitSticky"]


def _on(value: bool) -> bool:
    if not value:
        refuse("cannot be false", "leave it out")
    return value


class SplitSticky(Section):
    """What a person is known by, to stay with one version: exactly one of `cookie`, `header` and `client`."""

    cookie: CookieName | None = Field(
        default=None, description="A cookie with a random number, that the proxy sets.", examples=["reviver-shop"]
    )
    max_age: KeptFor = Field(
        default=Duration.read("30d"),
        description="How long the client keeps the cookie; `0s`: until its session ends.",
    )
    header: FieldName | None = Field(
        default=None,
        description="The value of a request field; a request without it is decided by itself.",
        examples=["x-user"],
    )
    client: Annotated[Flag, AfterValidator(_on)] | None = Field(
        default=None, description="The client's address.", examples=[True]
    )


class Force(Section):
    """A request field by which a client chooses: `always` and `never` for a canary, else the name of a variant."""

    header: FieldName = Field(description="The field's name.", examples=["x-canary"])
    clients: Annotated[tuple[Network, ...], Said("any client")] = Field(
        default=(), min_length=1, description="Networks of clients that may.", examples=[["10.0.0.0/8"]]
    )


def _whole(variants: dict[str, Share]) -> dict[str, Share]:
    if len(variants) == 1:
        refuse("is one variant, where two are needed at least", "a route names a single pool by pool")
    total = sum(variants.values())
    if total != 10_000:
        rest = f"{Share(10_000 - total)} are missing" if total < 10_000 else f"{Share(total - 10_000)} are too many"
        refuse(f"the weights add up to {Share(total)}, not to 100%", rest)
    return variants


class Split(Section):
    """Versions of one application: either `stable` and `canary`, or `variants`."""

    stable: Text | None = Field(
        default=None, description="The pool of the version that is in use.", examples=["shop-v1"]
    )
    canary: Text | None = Field(
        default=None, description="The pool of the version that is tried.", examples=["shop-v2"]
    )
    weight: Annotated[Percent | None, Said("the first step of `autopilot`, else `0%`")] = Field(
        default=None,
        description="The canary's share, in steps of 0.01%. Who is known by `sticky` and gets the canary keeps "
        "it while the share grows.",
        examples=["5%"],
    )
    variants: Annotated[dict[Text, Share], Field(min_length=1), AfterValidator(_whole)] | None = Field(
        default=None,
        description="Pools, each with its share in percent; together they are 100.",
        examples=[{"a": 50, "b": 30, "c": 20}],
    )
    sticky: Annotated[SplitSticky | None, Said("each request is decided by itself")] = Field(
        default=None,
        description="What a person is known by, to stay with one version.",
        examples=[{"cookie": "reviver-shop"}, {"header": "x-user"}, {"client": True}],
    )
    force: Force | None = Field(
        default=None,
        description="A request field by which a client chooses.",
        examples=[{"header": "x-canary", "clients": ["10.0.0.0/8"]}],
    )
    response_header: Annotated[ResponseRuleName | None, Said("none")] = Field(
        default=None, description="The response field that names the variant.", examples=["x-variant"]
    )
    mirror: Annotated[Mirror, Shorthand("percent")] | None = Field(
        default=None,
        description="A copy of a share of the requests goes to the canary, or to another pool; its answers are thrown "
        "away, and whatever befalls it touches no client.",
        examples=["10%", {"percent": "10%", "compare": True}],
    )
    autopilot: Annotated[Autopilot, Switch()] | None = Field(
        default=None,
        description="Grows the canary's share by itself, and takes it back.",
        examples=[True, {"steps": ["1%", "10%", "100%"], "every": "5m"}],
    )
