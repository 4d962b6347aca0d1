"""Which server of a pool gets a request: what is hashed, who stays with one, who waits, how much is tried again."""

import difflib
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from reviver.config.models.base import Section, Wait, within
from reviver.config.models.text import CookieName, Text, is_token
from reviver.config.shares import Percent, Rate
from reviver.config.values import Count, Duration, Kind, refuse, shown

__all__ = ["Balance", "HashBalance", "HashOn", "KeptFor", "Queue", "RetryBudget", "Sticky", "told_apart_by"]

Balance = Literal[
    "round_robin", "least_requests", "power_of_two", "random", "hash", "maglev", "peak_ewma", "first"
]  # fmt: skip


def told_apart_by(*words: str, nothing: str) -> Callable[[str], str]:
    """Reads one of the words, `header:NAME` or `cookie:NAME`; names of fields become lower case.

    `nothing` is what it comes to where no name follows.
    """

    def read(value: str) -> str:
        known = [*words, "header:NAME", "cookie:NAME"]
        kind, _, name = value.partition(":")
        if kind in ("header", "cookie"):
            what = "field" if kind == "header" else "cookie"
            if not name:
                refuse(f"{shown(value)} names no {what}: {nothing}", f"write {kind}:NAME")
            if not is_token(name):
                refuse(f"{shown(name)} is not a {what} name", "use letters, digits and hyphens, no colon and no space")
            return f"{kind}:{name.lower() if kind == 'header' else name}"
        if value not in words:
            close = difflib.get_close_matches(kind, [*words, "header", "cookie"], 1)
            meant = f"{close[0]}:{name or 'NAME'}" if close and close[0] in ("header", "cookie") else "".join(close)
            listed = f"write {', '.join(known[:-1])} or {known[-1]}"
            what = f"{shown(value)} is not known here" if value else f"is empty: {nothing}"
            refuse(what, f"did you mean {meant}?" if meant else listed)
        return value

    return read


HashOn = Annotated[Text, AfterValidator(told_apart_by("client", "path", nothing="a hash on nothing")), Kind("text")]
"""`client`, `path`, `header:NAME` or `cookie:NAME`."""


class HashBalance(Percent):
    """How much of its fair share a server may carry, in whole percent, or `none` for no bound (0)."""

    most = 100_000
    hint = "write 125%, or none for no bound"

    @classmethod
    def read(cls, value: object) -> "HashBalance":
        """Reads what was written; a validation error says what is wrong with it."""
        if value == "none":
            return cls(0)
        share = super().read(value)
        if not 10_100 <= share <= cls.most:
            refuse(f"{shown(share)} is not between 101% and 1000%", "write none for no bound")
        if share % 100:
            refuse(f"{shown(share)} is not in whole percent")
        return share

    def __str__(self) -> str:
        return super().__str__() if self else "none"

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [super().__get_pydantic_json_schema__(schema, handler), {"const": "none"}]}


KeptFor = Annotated[Duration, within(Duration(0), Duration.read("3650d"))]
"""How long a client keeps a cookie."""


def _secret(value: Any) -> Any:
    # never shown, whatever is wrong with it
    if not isinstance(value, str):
        refuse("is not text", "write it in quotes")
    if len(value) < 16:
        refuse(f"is {len(value)} characters long, and 16 are needed at least", "make one: openssl rand -base64 24")
    return value


class Sticky(Section):
    """One client stays with one server, by a signed cookie that the proxy sets."""

    cookie: CookieName = Field(description="Name of the cookie.", examples=["server"])
    secret: Annotated[str, BeforeValidator(_secret, json_schema_input_type=str), Kind("text")] | None = Field(
        default=None,
        repr=False,
        description="What the cookie is signed with, 16 characters at least. Without it one is made up at each start: "
        "cookies hold until then, and for this process alone.",
        examples=["${STICKY_SECRET}"],
    )
    max_age: KeptFor = Field(
        default=Duration(0), description="How long the client keeps the cookie; `0s`: until its session ends."
    )


class Queue(Section):
    """Requests that wait, first come first served, while the servers or the pool have as many as they may."""

    max: Count = Field(
        default=100, ge=0, le=1_000_000, description="So many wait at most, further ones get 503; 0: none waits."
    )
    timeout: Wait = Field(default=Duration(5000), description="How long one waits, then 503.")


def _each_second(value: Rate) -> Rate:
    if value.number * 1000 % value.period:
        refuse(f"{shown(value)} is no whole number in a second", "write 10/s")
    return value


class RetryBudget(Section):
    """How many requests may be tried again, so that an outage is not multiplied. `none` is no bound."""

    percent: Percent = Field(default=Percent(2000), description="Of the requests of the last ten seconds.")
    min: Annotated[Rate, AfterValidator(_each_second)] = Field(
        default=Rate((10, 1000)), description="So many are allowed besides."
    )
