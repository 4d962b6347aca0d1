"""The configuration as a whole."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from reviver.config.models.base import Said, Section
from reviver.config.models.cache import Cache
from reviver.config.models.forward import Forward
from reviver.config.models.limits import Limits, Resolver, Timeouts
from reviver.config.models.listeners import Listener
from reviver.config.models.logs import LogSink
from reviver.config.models.reverse import Reverse
from reviver.config.models.text import Name, Text, is_token
from reviver.config.values import Network, refuse, shown

__all__ = ["Config", "Control"]


def _pseudonym(value: str) -> str:
    if not is_token(value) or len(value) > 64:
        refuse(f"{shown(value)} is not a pseudonym", "up to 64 letters, digits, hyphens, dots and underscores")
    return value


def _workers(value: object) -> object:
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
    if value != "auto" and (isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= 256):
        refuse(f"{shown(value)} is not a number of workers", "write auto, or a number from 1 to 256")
    return number


Workers = Annotated[Literal["auto"] | int, BeforeValidator(_workers, json_schema_input_type=Literal["auto"] | int)]


class Control(Section):
    """The socket by which commands talk to the running proxy."""

    socket: Annotated[Text | None, Said("in the user's runtime folder, named after the configuration's path")] = Field(
        default=None,
        min_length=1,
        description="Path of a unix socket that only its owner can use. Relative to the configuration.",
        examples=["run/reviver.sock"],
    )


class Config(Section):
    """A configuration of Reviver, as it was written."""

    workers: Workers = Field(
        default="auto", description="Threads that serve requests, 1 to 256; `auto` is one for each processor core."
    )
    user: Text | None = Field(
        default=None,
        description="The user that the proxy becomes after binding its listeners; needs root.",
        examples=["nobody"],
    )
    group: Annotated[Text | None, Said("the user's")] = Field(
        default=None, description="The group that goes with it.", examples=["nogroup"]
    )
    listeners: Annotated[dict[Name, Listener], Said("required")] = Field(
        default={},
        min_length=1,
        description="Where connections are accepted, by name.",
        examples=[{"web": {"bind": "0.0.0.0:8080", "role": "reverse"}}],
    )
    trusted_proxies: tuple[Network, ...] = Field(
        default=(),
        description="Networks whose `X-Forwarded-For` and `Forwarded` are believed; those of others are dropped.",
        examples=[["10.0.0.0/8"]],
    )
    via: Annotated[
        Annotated[Text, AfterValidator(_pseudonym)] | None, Said("`reviver-` and eight digits of machine and path")
    ] = Field(
        default=None,
        description="The pseudonym that stands in `Via` and `Proxy-Status`, and by which loops are found. Proxies "
        "that stand behind one another need different ones.",
        examples=["edge-1"],
    )
    limits: Limits = Field(default=Limits.model_construct(), description="Bounds on what one client may send.")
    timeout: Timeouts = Field(
        default=Timeouts.model_construct(), description="How long is waited for each step of a request."
    )
    resolver: Resolver = Field(default=Resolver.model_construct(), description="How names are looked up.")
    cache: Cache = Field(
        default=Cache.model_construct(), description="What routes and the forward half share where they say `cache`."
    )
    logs: Annotated[tuple[LogSink, ...], Said("one, `json` to `stdout`")] = Field(
        default=(LogSink.model_construct(),), description="Where the record of each request goes; `[]` writes none."
    )
    control: Control = Field(
        default=Control.model_construct(), description="The socket by which commands talk to the running proxy."
    )
    reverse: Reverse | None = Field(default=None, description="The proxy for servers: routes and pools.")
    forward: Forward | None = Field(default=None, description="The proxy for clients.")
