"""Listeners: where connections are accepted, and which way they read."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from reviver.config.models.base import Listed, Said, Section, Shorthand
from reviver.config.models.limits import Limits, Timeouts
from reviver.config.models.tls import Hsts, ListenerTls, hsts_as_written, tls_as_written
from reviver.config.values import Address, Count, Flag, Kind, refuse, shown

__all__ = ["BindAddress", "Listener"]


class BindAddress(Address):
    """What is listened on: `ADDRESS:PORT`, `:PORT` for every IPv4 address, or `localhost:PORT`."""

    __slots__ = ()
    hint = 'write "127.0.0.1:8080", ":8080" for all addresses, or "[::1]:8080"'
    names = frozenset({"localhost"})
    any_host = True


def _https_port(value: object) -> object:
    if value in ("true", "false") or isinstance(value, bool):
        return value is True or value == "true"
    port = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 6 else value
    if not isinstance(port, int) or not 1 <= port <= 65535:
        refuse(f"{shown(value)} is not a port", "write true, false, or a port from 1 to 65535")
    return port


HttpsPort = Annotated[
    bool | int, BeforeValidator(_https_port, json_schema_input_type=bool | int), Kind("`true`, `false` or port")
]


class Listener(Section):
    """A named set of addresses on which connections of one role are accepted."""

    bind: Annotated[tuple[BindAddress, ...], Listed(), Field(min_length=1)] = Field(
        description="Address and port, or a list of them. `:8080` is every IPv4 address of the machine, `[::]:8080` "
        "every IPv6 address; `localhost:8080` is 127.0.0.1.",
        examples=["0.0.0.0:8080", ["127.0.0.1:3128", "[::1]:3128"]],
    )
    role: Literal["reverse", "forward"] = Field(
        description="`reverse` answers for servers by `reverse.routes`; `forward` is a proxy for clients: "
        "HTTP, CONNECT and SOCKS5 on one port."
    )
    backlog: Count = Field(
        default=1024, ge=1, le=65535, description="Length of the queue of connections that are not yet accepted."
    )
    tls: Annotated[ListenerTls, BeforeValidator(tls_as_written)] | None = Field(
        default=None,
        description="TLS towards clients: https, or a proxy that clients reach by https.",
        examples=[{"certificates": [{"certificate": "site.pem", "key": "site.key"}]}],
    )
    http2: Flag = Field(
        default=True,
        description="Whether HTTP/2 is spoken beside HTTP/1.1: by ALPN with `tls`, with prior knowledge (h2c) without.",
    )
    proxy_protocol: Flag = Field(
        default=False,
        description="Whether connections from `trusted_proxies` begin with a PROXY protocol header, version 1 or 2, "
        "that names the client. Connections from elsewhere never do.",
    )
    redirect_https: HttpsPort = Field(
        default=False,
        description="Every request is answered with 308 to the same URL by https: `true` to the port of the first "
        "reverse listener with `tls` (443 without one), or to the port that is given.",
    )
    hsts: Annotated[Hsts, Shorthand("max_age"), BeforeValidator(hsts_as_written)] | None = Field(
        default=None,
        description="`Strict-Transport-Security` in every response; for reverse listeners with `tls`.",
        examples=["180d"],
    )
    limits: Annotated[Limits | None, Said("the top-level `limits`")] = Field(
        default=None,
        description="Bounds for this listener alone; a key left out is as in the top-level `limits`. On a reverse "
        "listener `body` stands until a route is known, then the route decides.",
    )
    timeout: Annotated[Timeouts | None, Said("the top-level `timeout`")] = Field(
        default=None,
        description="Timeouts for this listener alone; a key left out is as in the top-level `timeout`. `connect`, "
        "`first_byte` and `idle` are for forward listeners: in reverse the route decides.",
    )
