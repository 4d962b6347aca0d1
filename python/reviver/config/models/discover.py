"""Where the servers of a pool are found while the proxy runs.

Nothing of it is part of the plan: the control plane looks, and lays what it finds over the plan.
"""

from typing import Annotated

from pydantic import AfterValidator, Field

from reviver.config.models.base import Said, Section, Switch, Wait, within
from reviver.config.models.text import FieldValue, ResponseRuleName, Text, Url
from reviver.config.values import Address, Count, Duration, Kind, is_ipv4, is_name, refuse, shown

__all__ = ["KINDS", "Discover", "Docker"]

KINDS = ("dns", "srv", "file", "http", "docker")
"""Keys of `Discover` of which there is exactly one."""


def _name_and_port(value: Address) -> Address:
    if is_ipv4(value.host) or ":" in value.host:
        refuse(f"{shown(value)} is an address, and a name is looked up", "write servers: [ADDRESS:PORT]")
    return value


def _service(value: str) -> str:
    if ":" in value and is_name(value.partition(":")[0]):
        refuse(f"{shown(value)} has a port, and SRV records tell the ports", "write _http._tcp.NAME")
    if not is_name(value):
        refuse(f"{shown(value)} is not the name of a service", "write _http._tcp.NAME")
    return value.lower()


def _path(value: str) -> str:
    if "\0" in value:
        refuse("holds a NUL, which no path can")
    if "://" in value:
        refuse(f"{shown(value)} is a URL, not a file", "write http: URL")
    return value


def _label(value: str) -> str:
    name, sign, _ = value.partition("=")
    if not name.strip() or (sign and name != name.strip()):
        refuse(f"{shown(value)} is not a label", "write NAME=VALUE, or NAME for any value")
    return value


_Path = Annotated[Text, Field(min_length=1), AfterValidator(_path), Kind("file")]
_Ttl = Annotated[Duration, within(Duration(100), Duration.read("1d"))]


class Docker(Section):
    """Containers of one Docker daemon. `true` in place of the table takes all defaults."""

    socket: Annotated[_Path, Kind("path")] = Field(
        default="/var/run/docker.sock", description="The daemon's unix socket. Relative to the configuration."
    )
    label: Annotated[Annotated[Text, AfterValidator(_label)] | None, Said("`reviver.pool=` and the pool's name")] = (
        Field(
            default=None,
            description="Containers with this label are servers: `NAME=VALUE`, or `NAME` for any value.",
            examples=["com.example.role=web"],
        )
    )
    port: Annotated[Count | None, Said("the container's label `reviver.port`, else the only port that it exposes")] = (
        Field(default=None, ge=1, le=65535, description="The port of containers that do not say it by that label.")
    )
    network: Annotated[Text | None, Said("the only one")] = Field(
        default=None,
        min_length=1,
        description="The network by whose address a container is reached.",
        examples=["backend"],
    )


class Discover(Section):
    """Where servers are found: exactly one of `dns`, `srv`, `file`, `http` and `docker`."""

    dns: Annotated[Address, AfterValidator(_name_and_port)] | None = Field(
        default=None,
        description="`NAME:PORT`: each address that the name has in DNS (A and AAAA) is a server.",
        examples=["app.internal:8080"],
    )
    srv: Annotated[Annotated[Text, AfterValidator(_service)] | None, Kind("name")] = Field(
        default=None,
        description="The name of a service in DNS (RFC 2782): each of its SRV records is a server, with port and "
        "weight; those of the lowest priority come first, the others are `backup`.",
        examples=["_http._tcp.app.internal"],
    )
    file: _Path | None = Field(
        default=None,
        description="A file with a list in the form of `servers`, as JSON or YAML by the ending of its name; it is "
        "read again when it changes. Relative to the configuration.",
        examples=["servers.json"],
    )
    http: Url | None = Field(
        default=None,
        description='A URL that answers a JSON list in the form of `servers`, or `{"servers": [...]}`.',
        examples=["https://registry.internal/pools/api"],
    )
    docker: Annotated[Docker, Switch()] | None = Field(
        default=None,
        description="Containers that run on this machine and are not unhealthy.",
        examples=[True, {"network": "backend", "port": 8080}],
    )
    min_ttl: _Ttl = Field(default=Duration(1000), description="`dns`, `srv`: no more often is asked than this.")
    max_ttl: _Ttl = Field(default=Duration(300_000), description="`dns`, `srv`: no less often is asked than this.")
    every: Annotated[Duration, within(Duration(100), Duration.read("1d"))] = Field(
        default=Duration(10_000), description="`http`: how often it is asked."
    )
    headers: dict[ResponseRuleName, FieldValue] = Field(
        default={},
        description="`http`: further header fields of the request.",
        examples=[{"authorization": "Bearer ${REGISTRY_TOKEN}"}],
    )
    timeout: Wait = Field(
        default=Duration(5000),
        description="How long an answer is waited for; at a start, or for a pool that a reload brings, until it is "
        "served without one.",
    )
    min_servers: Count = Field(
        default=1,
        ge=0,
        le=10_000,
        description="An answer with fewer servers than this is not believed: those that are known stay.",
    )
    max_connections: Count = Field(
        default=0,
        ge=0,
        le=10_000_000,
        description="`max_connections` of each server whose source says nothing of it.",
    )

    @property
    def kind(self) -> str:
        """Which of the sources it is."""
        return next((kind for kind in KINDS if getattr(self, kind) is not None), KINDS[0])

    def __str__(self) -> str:
        """What is looked at, as a person names it."""
        if self.docker is not None:
            return f"docker {self.docker.socket} {self.docker.label or ''}".rstrip()
        return f"{self.kind} {getattr(self, self.kind)}"
