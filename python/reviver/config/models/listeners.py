"""Listeners: where connections are accepted, and which way they read."""

from typing import Annotated, Literal

from pydantic import Field

from reviver.config.models.base import Listed, Said, Section
from reviver.config.models.limits import Limits, Timeouts
from reviver.config.values import Address, Count

__all__ = ["BindAddress", "Listener"]


class BindAddress(Address):
    """What is listened on: `ADDRESS:PORT`, `:PORT` for every IPv4 address, or `localhost:PORT`."""

    __slots__ = ()
    hint = 'write "127.0.0.1:8080", ":8080" for all addresses, or "[::1]:8080"'
    names = frozenset({"localhost"})
    any_host = True


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
