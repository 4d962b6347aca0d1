"""Pools: servers that can stand in for each other."""

from typing import Annotated, Literal

from pydantic import Field

from reviver.config.models.balancing import Balance, HashBalance, HashOn, Queue, RetryBudget, Sticky
from reviver.config.models.base import CountOrNone, OnOff, Said, Section, Shorthand, Switch, Wait, Worded, within
from reviver.config.models.discover import Discover
from reviver.config.models.health import Health
from reviver.config.models.outliers import Outlier
from reviver.config.models.overload import Adaptive
from reviver.config.models.tls import UpstreamTls
from reviver.config.shares import Percent
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
    backup: Flag = Field(
        default=False,
        description="Whether it is used only when no other server is up: backups are for servers that fail, not for "
        "load.",
    )
    max_connections: Count = Field(
        default=0,
        ge=0,
        le=10_000_000,
        description="Requests and tunnels at the same time, all workers together; further ones wait in the pool's "
        "`queue`. 0: no bound.",
    )


_Servers = tuple[Annotated[Server, Shorthand("address")], ...]


class Pool(Section):
    """Servers among which requests are shared out."""

    servers: Annotated[_Servers, Said("required without `discover`")] = Field(
        default=(),
        description="The servers: addresses, or tables with more. Beside `discover`: those that are used until there "
        "is an answer.",
        examples=[["127.0.0.1:9001", {"address": "127.0.0.1:9002", "weight": 3}]],
    )
    discover: Discover | None = Field(
        default=None,
        description="Where servers are found, and looked for again, while the proxy runs.",
        examples=[{"dns": "app.internal:8080"}, {"file": "servers.json"}, {"docker": True}],
    )
    balance: Balance = Field(
        default="round_robin",
        description="How servers are chosen among, by weight. `round_robin`: in turn. `least_requests`: the one that "
        "carries the fewest. `power_of_two`: of two at random the one that carries fewer. `random`. `hash`: the same "
        "for the same `hash_on`, by a ring with bounded load. `maglev`: the same by Maglev's table. `peak_ewma`: of "
        "two at random the one whose latency, weighed by what it carries, is lower. `first`: the first that has room.",
    )
    hash_on: HashOn = Field(
        default="client",
        description="What `hash` and `maglev` go by: the `client`'s address, the `path`, `header:NAME` or "
        "`cookie:NAME`; where there is none the client's address.",
        examples=["header:x-user", "cookie:session"],
    )
    hash_balance: HashBalance = Field(
        default=HashBalance(12_500),
        description="How much of its fair share a server carries at most by `hash`, 101% to 1000%, before the next one "
        "on the ring gets the request; `none` is no bound.",
    )
    sticky: Sticky | None = Field(
        default=None,
        description="One client stays with one server, by a signed cookie.",
        examples=[{"cookie": "server", "secret": "${STICKY_SECRET}"}],
    )
    health: Annotated[Health, Shorthand("path")] | None = Field(
        default=None,
        description="Each server is asked whether it is up.",
        examples=["/healthz", {"path": "/healthz", "every": "2s", "expect": 200}, {"type": "tcp"}],
    )
    outlier: Annotated[
        Outlier | None, OnOff(off={"consecutive_errors": 0}), Said("five failures of the connection in a row")
    ] = Field(
        default=None,
        description="When a server is taken out by what its answers show. Left out, statuses do not count; `true` "
        "takes the defaults of the table.",
        examples=[{"consecutive_errors": 3, "eject": "30s"}],
    )
    slow_start: Annotated[Duration, within(Duration(0), Duration.read("1d"))] = Field(
        default=Duration(0), description="How long the share of a server that has come back grows from a tenth."
    )
    queue: Queue = Field(
        default=Queue.model_construct(),
        description="Requests that wait while each server has as many as its `max_connections`, or the pool as many as "
        "its `max_requests` or `adaptive` let through.",
    )
    panic: Percent = Field(
        default=Percent(0),
        description="With a smaller share of its servers up than this, all are used as if they were; `0%`: never.",
    )
    retry_budget: Annotated[RetryBudget, Worded({"none": {"percent": "100%", "min": "1000000/s"}})] = Field(
        default=RetryBudget.model_construct(), description="How many requests may be tried again; `none` is no bound."
    )
    max_requests: Annotated[CountOrNone | None, Said("`none`")] = Field(
        default=None,
        description="Requests at the same time, of all servers and all workers together; further ones wait in the "
        "`queue`, and get 503 where it has no room or the `priority` of their route is `low`. `none` is no bound.",
        examples=[1000],
    )
    adaptive: Annotated[Adaptive | None, OnOff(), Said("`false`")] = Field(
        default=None,
        description="A bound like `max_requests` that follows the latency of the pool; of both the lower one holds.",
        examples=[True, {"min": 20, "tolerance": "200%"}],
    )
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
