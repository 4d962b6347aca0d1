"""The forward half: who may use the proxy, for what, and what origins learn of them."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from reviver.config.models.base import OnOff, Said, Section, Shorthand
from reviver.config.models.cache import CachePolicy
from reviver.config.models.pools import KeepAlive
from reviver.config.models.text import FieldValue, Text
from reviver.config.values import Network, PortRange, refuse

__all__ = ["Anonymity", "Auth", "Forward"]


def _realm(value: str) -> str:
    if not value.isascii() or not value.isprintable() or '"' in value or "\\" in value:
        refuse("a realm is printable ASCII without quotes and backslashes")
    return value


class Auth(Section):
    """Clients show a name and a password, by Basic (RFC 7617) or SOCKS5 (RFC 1929)."""

    basic: Text = Field(
        min_length=1,
        description="An htpasswd file: one `user:hash` a line (bcrypt, apr1, sha, crypt). Relative to the "
        "configuration.",
        examples=["users.htpasswd"],
    )
    realm: Annotated[Text, AfterValidator(_realm)] = Field(
        default="reviver", description="What a client shows when it asks for the password."
    )


_BY_LEVEL = Said("by level")


class Anonymity(Section):
    """What an origin learns of the client. Just the level may be written in place of the table."""

    level: Literal["transparent", "anonymous", "high"] = Field(
        default="anonymous",
        description="`transparent` tells the client's address; `anonymous` tells no address, and `Via` names the "
        "proxy by its pseudonym; `high` leaves no trace of a proxy and strips what identifies the client.",
    )
    user_agent: Annotated[FieldValue | None, _BY_LEVEL] = Field(
        default=None,
        description="`keep`, `remove`, or the text that is sent instead. `high`: a common browser's; else `keep`.",
        examples=["remove"],
    )
    referer: Annotated[FieldValue | None, _BY_LEVEL] = Field(
        default=None,
        description="`keep`, `remove`, `same_host` (kept only towards the same host), or the text that is sent "
        "instead. `high`: `same_host`; else `keep`.",
        examples=["same_host"],
    )
    cookies: Annotated[Literal["keep", "remove"] | None, Said("keep")] = Field(
        default=None, description="`keep` or `remove`: `Cookie` of requests and `Set-Cookie` of responses."
    )


class Forward(Section):
    """The proxy for clients: absolute-form requests, CONNECT and SOCKS5."""

    auth: Auth | None = Field(default=None, description="Who may use the proxy: those who show a password.")
    clients: tuple[Network, ...] = Field(
        default=(),
        description="Networks whose clients may use the proxy. A listener that other machines can reach needs "
        "this or `auth`. Empty: any client that can reach the listener.",
        examples=[["10.0.0.0/8", "2001:db8::/32"]],
    )
    connect_ports: tuple[PortRange, ...] = Field(
        default=(PortRange((443, 443)),),
        description="Ports that CONNECT and SOCKS5 may reach: numbers, and ranges such as `8000-8999`.",
        examples=[[443, "8000-8999"]],
    )
    private_destinations: Annotated[
        Literal["allow", "deny"] | None, Said("`allow` if all forward listeners are on loopback, else `deny`")
    ] = Field(
        default=None,
        description="Whether addresses that are not on the public Internet may be reached: loopback, private, "
        "link-local, cloud metadata. Checked on the address that is really connected to.",
    )
    anonymity: Annotated[Anonymity, Shorthand("level")] = Field(
        default=Anonymity.model_construct(), description="What an origin learns of the client.", examples=["high"]
    )
    keep_alive: KeepAlive = Field(
        default=KeepAlive.model_construct(), description="Upstream connections that are kept for later requests."
    )
    cache: Annotated[CachePolicy | None, OnOff(), Said("`false`")] = Field(
        default=None,
        description="Whether, and how, responses are stored and served again (RFC 9111), as a cache that all clients "
        "share. What goes through tunnels cannot be.",
        examples=[True],
    )
