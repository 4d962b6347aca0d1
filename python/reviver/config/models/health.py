"""Active health checks: each server of a pool is asked how it is."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from reviver.config.models.base import Listed, Said, Section, within
from reviver.config.models.statuses import StatusRange
from reviver.config.models.text import FieldName, FieldValue, HostField, Method, Pattern, ResponseRuleName, Text
from reviver.config.shares import Percent
from reviver.config.values import Count, Duration, Kind, refuse, shown

__all__ = ["Health"]


def _path(value: str) -> str:
    if not value.startswith("/"):
        url = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*/?", value)
        wrong = "is a URL, where a path is needed" if url else "is a path without its leading slash"
        meant = shown(f"/{value[url.end() if url else 0 :]}")[1:-1]
        refuse(f"{shown(value)} {wrong}", f"did you mean {meant}?")
    if re.search(r"[^\x21-\x7e]|#", value):
        refuse(f"{shown(value)} holds characters that a path cannot", "percent-encode them")
    return value


def _field(value: str) -> str:
    if value.lower() == "host":
        refuse("has a key of its own", "write host: NAME")
    return value


_Interval = Annotated[Duration, within(Duration(10), Duration.read("1d"))]
_InARow = Annotated[Count, Field(ge=1, le=1000)]


class Health(Section):
    """How each server is asked whether it is up. Just the path may be written in place of the table."""

    path: Annotated[Annotated[Text, AfterValidator(_path), Kind("path")] | None, Said("`/` with `type: http`")] = Field(
        default=None, description="Path, with a query if need be, of an HTTP check.", examples=["/healthz"]
    )
    type: Annotated[Literal["http", "tcp", "tls", "grpc"] | None, Said("`http` with a `path`, else required")] = Field(
        default=None,
        description="`http`: a request is answered as expected. `tcp`: a connection comes about. `tls`: a handshake is "
        "completed, by the pool's `tls`, or whatever the certificate without that. `grpc`: "
        "`grpc.health.v1.Health/Check` answers `SERVING`.",
        examples=["tcp"],
    )
    method: Method = Field(default="GET", description="Method of an HTTP check.")
    host: Annotated[HostField | None, Said("the server's address")] = Field(
        default=None, description="The `Host` of an HTTP check.", examples=["shop.example.com"]
    )
    headers: dict[Annotated[ResponseRuleName, AfterValidator(_field)], FieldValue] = Field(
        default={}, description="Further header fields of an HTTP check.", examples=[{"x-health": "1"}]
    )
    expect: Annotated[tuple[StatusRange, ...], Listed()] = Field(
        default=(StatusRange((200, 399)),),
        min_length=1,
        description="Statuses of a server that is up: one, a class or a range.",
        examples=[200, ["2xx", 404]],
    )
    expect_headers: dict[FieldName, Pattern] = Field(
        default={},
        description="Header fields that its response must have, with values as for `match.header`.",
        examples=[{"content-type": "application/json*"}],
    )
    body: Annotated[Pattern | None, Kind("text or pattern")] = Field(
        default=None,
        min_length=1,
        description="What the first 64 KiB of its response must hold; a regular expression when it starts with `~`.",
        examples=["ok", '~"status":\\s*"up"'],
    )
    service: Annotated[Text, Said("the server as a whole")] = Field(
        default="", description="The service that a gRPC check asks for.", examples=["shop.v1.Cart"]
    )
    port: Annotated[Count | None, Said("the server's own")] = Field(
        default=None, ge=1, le=65535, description="The port that is asked.", examples=[8081]
    )
    every: _Interval = Field(default=Duration(5000), description="How often a server is asked.")
    every_down: Annotated[_Interval | None, Said("half of `every`")] = Field(
        default=None, description="How often while it is down; not less often than else.", examples=["1s"]
    )
    timeout: Annotated[_Interval | None, Said("`2s`, or `every` where that is less")] = Field(
        default=None, description="How long an answer is waited for; not longer than `every`.", examples=["1s"]
    )
    rise: _InARow = Field(default=2, description="So many good checks in a row bring a server back.")
    fall: _InARow = Field(default=3, description="So many bad checks in a row take it out.")
    jitter: Percent = Field(
        default=Percent(1000),
        description="How far each interval is shortened or prolonged at random, so that checks do not meet.",
    )
