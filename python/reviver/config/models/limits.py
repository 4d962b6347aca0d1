"""Limits and timeouts, and how names are looked up."""

from typing import Annotated

from pydantic import Field

from reviver.config.models.base import BoundedSize, CountOrNone, Listed, Said, Section, Wait, within
from reviver.config.values import Address, Count, Duration, Flag, Size

__all__ = ["Limits", "Resolver", "Timeouts"]

_KIB = 1024
_MOST = 1_000_000


class Limits(Section):
    """Bounds on what one client may send. What goes beyond is refused with the status that is named."""

    head: Annotated[Size, within(Size(_KIB), Size(1024 * _KIB))] = Field(
        default=Size(32 * _KIB), description="A whole request head, start line included (431)."
    )
    fields: Count = Field(default=100, ge=1, le=256, description="Fields in a head or in a trailer section (431).")
    target: Annotated[Size, within(Size(64), Size(1024 * _KIB))] = Field(
        default=Size(8 * _KIB), description="The request target: path and query, or the URL (414)."
    )
    body: BoundedSize = Field(default=BoundedSize(2**30), description="A request body (413); `none` is no bound.")
    connections: CountOrNone = Field(
        default=20_000, description="Client connections at the same time on one listener; `none` is no bound."
    )
    connections_per_client: Annotated[CountOrNone | None, Said("`none`")] = Field(
        default=None,
        description="The same of one client: an IPv4 address, or an IPv6 network of 64 bits; `trusted_proxies` stand "
        "for many and have no such bound. Further connections are closed at once. `none` is no bound.",
        examples=[200],
    )
    requests_per_connection: CountOrNone = Field(
        default=10_000, description="Requests on one client connection before it is closed; `none` is no bound."
    )
    streams: Count = Field(
        default=100, ge=1, le=10_000, description="Requests at the same time on one HTTP/2 connection."
    )
    stream_window: Annotated[Size, within(Size(16 * _KIB), Size(16 * _KIB * _KIB))] = Field(
        default=Size(256 * _KIB),
        description="How much of a request body one HTTP/2 stream may send before the upstream has taken it.",
    )
    stream_resets: Count = Field(
        default=200,
        ge=1,
        le=_MOST,
        description="Requests that the client of one HTTP/2 connection may cancel within ten seconds (rapid reset). "
        "This and each bound below closes the connection with `ENHANCE_YOUR_CALM`.",
    )
    stream_errors: Count = Field(
        default=100,
        ge=1,
        le=_MOST,
        description="Streams of one HTTP/2 connection that may fail by the client's errors within ten seconds.",
    )
    control_frames: Count = Field(
        default=1000,
        ge=10,
        le=_MOST,
        description="HTTP/2 frames within ten seconds that carry no request: SETTINGS, PING, PRIORITY, unknown and "
        "empty ones.",
    )
    continuations: Count = Field(
        default=8, ge=1, le=1000, description="CONTINUATION frames in the head of one HTTP/2 request."
    )
    stalls: Count = Field(
        default=20,
        ge=1,
        le=_MOST,
        description="Requests of one HTTP/2 connection within ten seconds whose client took nothing of the response "
        "in time.",
    )


class Timeouts(Section):
    """How long is waited for each step of a request."""

    head: Wait = Field(
        default=Duration(10_000), description="From the first byte of a request head to its last, then 408."
    )
    body: Wait = Field(
        default=Duration(30_000),
        description="Between two parts of a request body (408), and for the client to take more of a response.",
    )
    keep_alive: Wait = Field(
        default=Duration(75_000), description="A client connection without a request is kept this long."
    )
    connect: Wait = Field(
        default=Duration(5000), description="Until an upstream connection is open, name lookup included, then 504."
    )
    first_byte: Wait = Field(
        default=Duration(60_000), description="From the end of the request to the first byte of the response, then 504."
    )
    idle: Wait = Field(default=Duration(60_000), description="Between two parts of a response body.")
    tunnel: Wait = Field(
        default=Duration(600_000), description="A tunnel over which nothing moves is closed after this."
    )
    handshake: Wait = Field(
        default=Duration(10_000),
        description="A whole TLS handshake with a client, and the PROXY protocol header before it.",
    )
    drain: Wait = Field(
        default=Duration(30_000), description="How long requests may go on after a stop was asked for. Top level only."
    )


class NameServer(Address):
    """A name server: an IP address, with a port unless it is 53."""

    __slots__ = ()
    hint = "write ADDRESS or ADDRESS:PORT, [IPV6]:PORT for an IPv6 address"
    default_port = 53
    names = frozenset()


class Resolver(Section):
    """How the names of upstreams and destinations are looked up."""

    servers: Annotated[tuple[NameServer, ...], Listed()] = Field(
        default=(),
        description="Name servers, as `ADDRESS` or `ADDRESS:PORT`. Empty: those of the system.",
        examples=[["9.9.9.9", "[2620:fe::fe]:53"]],
    )
    hosts_file: Flag = Field(default=True, description="Whether the system's hosts file answers first.")
    min_ttl: Duration = Field(default=Duration(1000), description="An answer is remembered at least this long.")
    max_ttl: Duration = Field(default=Duration(3_600_000), description="An answer is remembered at most this long.")
    cache_size: Count = Field(default=10_000, ge=0, le=10_000_000, description="Answers that each worker remembers.")
    timeout: Wait = Field(default=Duration(5000), description="One lookup, all its tries together.")
    fallback_delay: Duration = Field(
        default=Duration(250),
        description="How long the preferred address family is tried alone before the other joins (RFC 8305).",
    )
