"""Access logs: where each request's record goes, and in which form."""

import difflib
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from reviver.config.models.base import Said, Section, within
from reviver.config.models.text import FieldName, Text, is_token
from reviver.config.values import Address, Count, Duration, Size, refuse, shown

__all__ = ["DEFAULT_REDACT", "FORMATS", "RECORD_FIELDS", "LogHeaders", "LogSink", "Rotate"]

FORMATS = ("json", "combined", "common", "squid")
"""The log formats that have a name."""

RECORD_FIELDS = (
    "time", "listener", "client", "client_port", "user", "method", "scheme", "host", "port", "path", "query",
    "protocol", "tls", "sni", "client_certificate", "route", "split", "variant", "pool", "server", "upstream",
    "upstream_connection", "status", "upstream_status", "reason", "detail", "at", "limit", "cache",
    "cache_reason", "cache_age", "ending", "attempts", "tunnel", "bytes_in", "bytes_out", "request_body",
    "response_body", "duration_ms", "head_ms", "decide_ms", "connect_ms", "first_byte_ms", "user_agent", "referer",
    "request_headers", "response_headers",
)  # fmt: skip
"""The fields of a record that a template may name."""

DEFAULT_REDACT = (
    "token", "access_token", "id_token", "refresh_token", "password", "passwd", "pwd", "secret", "client_secret",
    "api_key", "apikey", "key", "auth", "authorization", "session", "sessionid", "sid", "signature", "sig", "code",
    "jwt",
)  # fmt: skip
"""Query parameters that hold secrets more often than not."""


def _target(value: str) -> str:
    hint = "write stdout, stderr, file:PATH, syslog:HOST:PORT, syslog+tcp:HOST:PORT or syslog+unix:PATH"
    kind, colon, rest = value.partition(":")
    if kind in ("syslog", "syslog+tcp"):
        return f"{kind}:{Address.read(rest)}"
    if kind in ("file", "syslog+unix"):
        if not rest or "\0" in rest:
            refuse(f"{shown(value)} names no file", hint)
    elif kind not in ("stdout", "stderr") or colon:
        close = difflib.get_close_matches(kind, ["stdout", "stderr", "file", "syslog", "syslog+tcp", "syslog+unix"], 1)
        refuse(f"{shown(value)} is not a place for a log", f"did you mean {close[0]}?" if close else hint)
    return value


def _format(value: str) -> str:
    if value in FORMATS:
        return value
    if "{" not in value:
        close = difflib.get_close_matches(value, FORMATS, 1)
        refuse(
            f"{shown(value)} is not a log format",
            f"did you mean {close[0]}?" if close else f"write {', '.join(FORMATS)} or a template with {{names}}",
        )
    if any(not c.isprintable() and c != "\t" for c in value):
        refuse("a template is one line of printable characters", "each record ends with a line feed of its own")
    rest = ""
    for text, name in re.findall(r"(\{\{|\}\}|[^{}]+|[{}](?![^{}]*\}))|\{([^{}]*)\}", value):
        rest += "" if text in ("{{", "}}") else text
        if not text:
            _record_field(name)
    if "{" in rest or "}" in rest:
        refuse(f"{shown(value)} has a brace without its other half", "write {{ or }} for a literal brace")
    return value


def _record_field(name: str) -> None:
    group, dot, field = name.partition(".")
    if dot and group in ("request_headers", "response_headers") and is_token(field):
        return
    if name not in RECORD_FIELDS:
        close = difflib.get_close_matches(name, RECORD_FIELDS, 1)
        refuse(
            f"a record has no field {shown(name)}",
            f"did you mean {{{close[0]}}}?" if close else f"fields are {', '.join(RECORD_FIELDS)}",
        )


class LogHeaders(Section):
    """Header fields that are recorded besides the fields that each record has."""

    request: tuple[FieldName, ...] = Field(default=(), description="Request fields.", examples=[["x-request-id"]])
    response: tuple[FieldName, ...] = Field(default=(), description="Response fields.", examples=[["content-type"]])


class Rotate(Section):
    """When a log file is put aside and begun anew."""

    size: Annotated[Size, within(Size(4096), Size(2**50))] | None = Field(
        default=None, description="Before it would grow past this.", examples=["100MiB"]
    )
    every: Annotated[Duration, within(Duration(60_000), Duration.read("3650d"))] | None = Field(
        default=None, description="When it is this old.", examples=["1d"]
    )
    keep: Count = Field(default=7, ge=0, le=10_000, description="Old files that are kept; `PATH.1` is the newest.")


class LogSink(Section):
    """One place where the record of each request is written."""

    to: Annotated[Text, AfterValidator(_target)] = Field(
        default="stdout",
        description="`stdout`, `stderr`, `file:PATH`, `syslog:HOST:PORT` (UDP), `syslog+tcp:HOST:PORT` or "
        "`syslog+unix:PATH`. A relative path is relative to the configuration.",
        examples=["file:/var/log/reviver/access.log", "syslog:127.0.0.1:514"],
    )
    format: Annotated[Text, AfterValidator(_format)] = Field(
        default="json",
        description="`json`, `combined`, `common`, `squid`, or a template with names of fields in braces, such as "
        "`{client}`; `{request_headers.NAME}` and `{response_headers.NAME}` are header fields.",
        examples=["{client} {method} {host}{path} {status} {duration_ms}"],
    )
    on_full: Literal["wait", "drop"] = Field(
        default="wait", description="When the log cannot keep up: requests `wait`, or records are dropped and counted."
    )
    redact: Annotated[tuple[Text, ...], Said("names such as `token`, `password`, `api_key`, `session`, `code`")] = (
        Field(default=DEFAULT_REDACT, description="Query parameters whose values are written as `***`.")
    )
    headers: LogHeaders = Field(
        default=LogHeaders.model_construct(),
        description="Header fields that are recorded too; those that carry credentials stay masked.",
    )
    rotate: Rotate | None = Field(default=None, description="For `file:` only: when the file is begun anew.")
