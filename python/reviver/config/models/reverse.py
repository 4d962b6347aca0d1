"""The reverse half: routes and what they do."""

import difflib
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from reviver.config.models.base import BoundedSize, Listed, OnOff, Said, Section, Shorthand, Wait, within
from reviver.config.models.cache import CachePolicy
from reviver.config.models.hedges import Hedge
from reviver.config.models.match import Match
from reviver.config.models.mirrors import RouteMirror
from reviver.config.models.overload import Priority
from reviver.config.models.pools import Pool
from reviver.config.models.rate_limits import Limit
from reviver.config.models.splits import Split
from reviver.config.models.text import FieldValue, HostField, Name, PathText, Regex, ResponseRuleName, RuleName, Text
from reviver.config.values import Count, Duration, refuse, shown

__all__ = [
    "Headers", "Redirect", "RequestHeaders", "Respond", "ResponseHeaders", "Retry", "Reverse", "Rewrite",
    "Route", "RouteLimits", "RouteTimeouts",
]  # fmt: skip


Status = Annotated[Count, Field(ge=200, le=599)]


class Respond(Section):
    """An answer that the proxy gives itself."""

    status: Status = Field(default=200, description="Status code.")
    body: Text = Field(default="", description="The content.")
    headers: dict[ResponseRuleName, FieldValue] = Field(default={}, description="Header fields of the answer.")
    content_type: FieldValue = Field(default="text/plain; charset=utf-8", description="The content's media type.")


PLACEHOLDERS = ("scheme", "host", "path", "query", "uri")


def _redirect_target(value: str) -> str:
    for name in re.findall(r"\{([^{}]*)\}", value):
        if name not in PLACEHOLDERS:
            close = difflib.get_close_matches(name, PLACEHOLDERS, 1)
            names = ", ".join(f"{{{p}}}" for p in PLACEHOLDERS)
            refuse(
                f"{shown('{' + name + '}')} is not known here",
                f"did you mean {{{close[0]}}}?" if close else f"known are {names}",
            )
    if set("{}") & set(re.sub(r"\{[^{}]*\}", "", value)):
        refuse(f"{shown(value)} has a brace without its other half", "percent-encode a literal brace: %7B, %7D")
    if re.search(r"[^\x21-\x7e]", value):
        refuse(f"{shown(value)} holds characters that a URL cannot", "percent-encode them")
    if not re.match(r"(?:[A-Za-z][A-Za-z0-9+.-]*|\{scheme\})://.|/|\{(?:path|uri)\}", value):
        refuse(f"{shown(value)} is neither a URL nor a path", "write https://{host}{uri} or /new/path")
    return value


def _redirect_status(value: int) -> int:
    if value not in (301, 302, 303, 307, 308):
        refuse(f"{value} does not redirect", "use 301 or 308 for good, 302, 303 or 307 for now")
    return value


class Redirect(Section):
    """An answer that sends the client elsewhere. Just the target may be written in place of the table."""

    to: Annotated[Text, AfterValidator(_redirect_target)] = Field(
        description="URL or path, with `{scheme}`, `{host}`, `{path}`, `{query}` and `{uri}` (path and query) of "
        "the request.",
        examples=["https://{host}{uri}"],
    )
    status: Annotated[Count, AfterValidator(_redirect_status)] = Field(
        default=302, description="301, 302, 303, 307 or 308."
    )


class Replace(Section):
    """A regular expression on the path, and what stands for what it matches."""

    pattern: Regex = Field(description="Regular expression.", examples=["^/old/(.*)$"])
    with_: Text = Field(alias="with", description="The replacement; `$1` is the first group.", examples=["/new/$1"])


class Rewrite(Section):
    """Changes to the request line and host before it is sent upstream: strip, replace, add, in this order."""

    strip_prefix: PathText | None = Field(
        default=None, description="Taken from the beginning of the path, whole segments only.", examples=["/v1"]
    )
    replace: Replace | None = Field(default=None, description="A regular expression and its replacement on the path.")
    add_prefix: PathText | None = Field(default=None, description="Put before the path.", examples=["/app"])
    host: Annotated[HostField | None, Said("the client's")] = Field(
        default=None, description="The `Host` that the upstream sees.", examples=["internal.example.com"]
    )


class RequestHeaders(Section):
    """Changes to the header fields of a request. Names are compared without case."""

    set: dict[RuleName, FieldValue] = Field(default={}, description="Replaced, or put in.")
    add: dict[RuleName, FieldValue] = Field(default={}, description="Put in besides those of the same name.")
    remove: tuple[RuleName, ...] = Field(default=(), description="Taken out.", examples=[["x-debug"]])


class ResponseHeaders(Section):
    """Changes to the header fields of a response. Names are compared without case."""

    set: dict[ResponseRuleName, FieldValue] = Field(
        default={}, description="Replaced, or put in.", examples=[{"strict-transport-security": "max-age=31536000"}]
    )
    add: dict[ResponseRuleName, FieldValue] = Field(default={}, description="Put in besides those of the same name.")
    remove: tuple[ResponseRuleName, ...] = Field(default=(), description="Taken out.", examples=[["server"]])


class Headers(Section):
    """Changes to header fields."""

    request: RequestHeaders = Field(
        default=RequestHeaders.model_construct(), description="Of the request, before it is sent upstream."
    )
    response: ResponseHeaders = Field(
        default=ResponseHeaders.model_construct(), description="Of the response, before it is sent to the client."
    )


def _retry_cause(value: object) -> object:
    if value in ("connect", "reset"):
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) == 3:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 400 <= value <= 599:
        refuse(f"{shown(value)} is not a cause to try again", "write connect, reset, or a status from 400 to 599")
    return value


RetryCause = Annotated[
    Literal["connect", "reset"] | int,
    BeforeValidator(_retry_cause, json_schema_input_type=Literal["connect", "reset"] | int),
]


Backoff = Annotated[Duration, within(Duration(0), Duration.read("1m"))]


class Retry(Section):
    """When a request is tried again on another server: only where that cannot do the same thing twice."""

    attempts: Count = Field(
        default=3, ge=1, le=20, description="Tries in all, the first included; 1 never tries again."
    )
    on: tuple[RetryCause, ...] = Field(
        default=("connect", "reset"),
        description="`connect`: no connection came about. `reset`: it was lost before any of the response came. "
        "A number: the response has that status.",
        examples=[["connect", "reset", 502, 503, 504]],
    )
    backoff: Backoff = Field(
        default=Duration(10),
        description="Waited before the second try; doubled for each further one, shortened at random by up to half.",
    )
    max_backoff: Annotated[Backoff | None, Said("`250ms`, or `backoff` where that is more")] = Field(
        default=None, description="But no longer than this.", examples=["1s"]
    )
    try_timeout: Annotated[Wait | None, Said("`timeout.first_byte`")] = Field(
        default=None,
        description="From the end of the request to the first byte of the response, of each try that another can "
        "follow.",
        examples=["2s"],
    )


class RouteTimeouts(Section):
    """Timeouts of one route."""

    connect: Annotated[Wait | None, Said("the top-level `timeout`")] = Field(
        default=None, description="Until an upstream connection is open, name lookup included.", examples=["2s"]
    )
    first_byte: Annotated[Wait | None, Said("the top-level `timeout`")] = Field(
        default=None, description="From the end of the request to the first byte of the response.", examples=["5m"]
    )
    idle: Annotated[Wait | None, Said("the top-level `timeout`")] = Field(
        default=None, description="Between two parts of a response body.", examples=["60s"]
    )


class RouteLimits(Section):
    """Limits of one route."""

    body: Annotated[BoundedSize | None, Said("the top-level `limits`")] = Field(
        default=None, description="A request body (413); `none` is no bound.", examples=["10GiB"]
    )


class Route(Section):
    """What is done with requests of one kind: exactly one of `pool`, `split`, `respond` and `redirect`."""

    name: Annotated[Name | None, Said("`route-N`, N its number from 1")] = Field(
        default=None, description="What it is called in logs and metrics; unique.", examples=["api"]
    )
    match: Match = Field(default=Match.model_construct(), description="Which requests; left out: all.")
    pool: Text | None = Field(default=None, description="The pool that answers.", examples=["api"])
    split: Text | None = Field(
        default=None, description="The split by whose variants it is answered.", examples=["shop"]
    )
    respond: Respond | None = Field(
        default=None, description="The proxy answers itself.", examples=[{"status": 410, "body": "gone"}]
    )
    redirect: Annotated[Redirect, Shorthand("to")] | None = Field(
        default=None, description="The client is sent elsewhere.", examples=["https://{host}{uri}"]
    )
    rewrite: Rewrite = Field(
        default=Rewrite.model_construct(), description="Changes to path and host before the request is sent upstream."
    )
    headers: Headers = Field(default=Headers.model_construct(), description="Changes to header fields.")
    retry: Retry = Field(
        default=Retry.model_construct(), description="When a request is tried again on another server."
    )
    timeout: RouteTimeouts = Field(default=RouteTimeouts.model_construct(), description="Timeouts of this route alone.")
    limits: RouteLimits = Field(default=RouteLimits.model_construct(), description="Limits of this route alone.")
    cache: Annotated[CachePolicy | None, OnOff(), Said("`false`")] = Field(
        default=None,
        description="Whether, and how, responses are stored and served again (RFC 9111). Only beside `pool` or "
        "`split`.",
        examples=[True, {"ttl": "5m", "stale_if_error": "1h"}],
    )
    limit: Annotated[tuple[Annotated[Limit, Shorthand("rate")], ...], Listed()] = Field(
        default=(),
        description="How many requests are let through, the others get 429; of several limits each has to let one "
        "through.",
        examples=["100/s", {"rate": "600/m", "by": "header:x-api-key", "burst": 50}],
    )
    mirror: Annotated[RouteMirror, Shorthand("to")] | None = Field(
        default=None,
        description="A copy of the requests goes to a further pool; its answers are thrown away, and whatever befalls "
        "it touches no client. In place of the `mirror` of the split. Only beside `pool` or `split`.",
        examples=["api-v2", {"to": "api-v2", "percent": "5%", "compare": True}],
    )
    hedge: Annotated[Hedge, Shorthand("after")] | None = Field(
        default=None,
        description="Where the first try takes longer than this another server is asked beside it, and the first "
        "answer counts. Only beside `pool` or `split`, for idempotent requests.",
        examples=["p95", {"after": "p99", "min": "20ms"}],
    )
    priority: Priority = Field(
        default="normal",
        description="Who is refused first where a pool has `max_requests` or `adaptive`: `low` takes no more than 70% "
        "of what they let through and never waits, `high` may go 20% beyond.",
    )


class Reverse(Section):
    """The proxy for servers."""

    routes: tuple[Route, ...] = Field(default=(), description="The first that matches wins, top to bottom; none: 404.")
    pools: dict[Name, Pool] = Field(default={}, description="Pools by name.")
    splits: dict[Name, Split] = Field(
        default={}, description="Splits by name: several versions of one application, and who gets which."
    )
