"""Pools: servers that can stand in for each other."""

from typing import Annotated, Literal

from pydantic import Field

from reviver.config.models.base import Section, Shorthand, Switch, Wait
from reviver.config.models.tls import UpstreamTls
from reviver.config.values import Address, Count, Duration, Flag

__all__ = ["KeepAlive", "Pool", "Server"]


class KeepAlive(Section):
    """Upstream connections that are kept for later requests."""

    idle: Wait = Field(default=Duration(60_000), description="How long an unused connection is kept.")
    max: Count = Field(
        default=64,
        ge=0,
        le=65535,
        description="Unused connections that each worker keeps for one server; 0 keeps none.",
    )


class Server(Section):
    """One upstream server. Just its address may be written in place of the table."""

    address: Address = Field(
        description="`HOST:PORT`; the host is an address or a name.", examples=["127.0.0.1:9001", "app.internal:80"]
    )
    weight: Count = Field(
        default=1, ge=0, le=1000, description="Its share of the requests in relation to the others; 0 takes none."
    )
    backup: Flag = Field(default=False, description="Whether it is used only when no other server is left.")


class Pool(Section):
    """Servers among which requests are shared out."""

    servers: tuple[Annotated[Server, Shorthand("address")], ...] = Field(
        min_length=1,
        description="The servers: addresses, or tables with more.",
        examples=[["127.0.0.1:9001", {"address": "127.0.0.1:9002", "weight": 3}]],
    )
    balance: Literal["round_robin"] = Field(default="round_robin", description="In turn, by weight.")
    tls: Annotated[UpstreamTls, Switch()] | None = Field(
        default=None,
        description="TLS towards the servers; left out: plain TCP.",
        examples=[True, {"ca": "internal-ca.pem"}],
    )
    protocol: Literal["auto", "h2", "http/1.1"] = Field(
        default="auto",
        description="Version of HTTP: `auto` is what the server agrees to by ALPN, HTTP/1.1 without `tls`; `h2` is "
        "HTTP/2 and nothing else, with prior knowledge without `tls`.",
    )
    proxy_protocol: Literal["v1", "v2"] | None = Field(
        default=None,
        description="Each connection begins with a PROXY protocol header of this version that names the client, so "
        "none is shared by clients. Not together with `protocol: h2`.",
    )
    keep_alive: KeepAlive = Field(
        default=KeepAlive.model_construct(), description="Upstream connections that are kept for later requests."
    )
