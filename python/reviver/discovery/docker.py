"""Servers are containers of a Docker daemon, by its API over the unix socket.

What runs is listed; the stream of events says when to list again. The version of the API is the daemon's newest: what
is used here has long been there, old versions are refused by new daemons, and to name none is deprecated.
"""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticCustomError

from reviver.config.models import Discover, Docker, Server
from reviver.config.values import Address
from reviver.discovery.answers import Answer, Failed, Found, SourceError
from reviver.discovery.polling import Sleep, pause_after
from reviver.discovery.servers import one_line
from reviver.discovery.web import AGENT, content, json_of, reason

if TYPE_CHECKING:
    import httpx

__all__ = ["LABEL", "Containers", "servers_of"]

LABEL = "reviver.pool"
PORT = "reviver.port"
WEIGHT = "reviver.weight"
EVENTS = ("destroy", "die", "health_status", "pause", "rename", "start", "unpause", "update")
"""After which there may be other servers; health checks alone are several events a second."""
TOGETHER = 0.1
"""Seconds in which events are gathered."""
LOOK_EVERY = 60.0
"""Seconds after which is listed without an event: of a container's networks none tells."""


class Containers:
    """Those of one daemon with one label."""

    def __init__(self, discover: Discover, pool: str, socket: Path, sleep: Sleep = asyncio.sleep) -> None:
        assert discover.docker is not None
        self._docker = discover.docker
        self._label = discover.docker.label or f"{LABEL}={pool}"
        self._socket = socket
        self._timeout = discover.timeout / 1000
        self._max_connections = discover.max_connections
        self._sleep = sleep

    async def answers(self) -> AsyncGenerator[Answer, None]:
        """One for each change, however the daemon comes and goes."""
        import httpx

        failures, headers = 0, {"user-agent": AGENT}
        while True:
            transport = httpx.AsyncHTTPTransport(uds=str(self._socket))
            client = httpx.AsyncClient(transport=transport, base_url="http://docker", headers=headers)
            try:
                async with client:
                    version = await self._version(client)
                    # the events come first: what happens while it is listed is one of them
                    async with self._events(client, version) as events:
                        more = True
                        while more:
                            yield await self._listed(client, version)
                            failures = 0
                            more = await events.next()
            except SourceError as error:
                yield Failed(str(error))
            except TimeoutError:
                yield Failed(f"{self._socket}: no answer within {self._timeout:g} s")
            except (httpx.HTTPError, OSError) as error:
                yield Failed(f"{self._socket}: {reason(error)}")
            failures += 1
            await self._sleep(pause_after(failures))

    async def _version(self, client: "httpx.AsyncClient") -> str:
        """What paths begin with."""
        async with asyncio.timeout(self._timeout):
            response = await client.get("/_ping")
        # a filtering proxy before the daemon may let through nothing but what it has to
        version = response.headers.get("api-version", "")
        return f"/v{version}" if re.fullmatch(r"[0-9]+\.[0-9]+", version, re.ASCII) else ""

    async def _listed(self, client: "httpx.AsyncClient", version: str) -> Found:
        filters = {"label": [self._label], "status": ["running"], "health": ["healthy", "none"]}
        async with asyncio.timeout(self._timeout):
            request = client.build_request("GET", f"{version}/containers/json", params={"filters": json.dumps(filters)})
            response = await client.send(request, stream=True)
            try:
                await _good(response)
                containers = json_of(await content(response))
            finally:
                await response.aclose()
        if not isinstance(containers, list) or not all(isinstance(item, dict) for item in containers):
            raise SourceError(f"{self._socket}: its list of containers is of another form")
        return servers_of(containers, self._docker, self._max_connections)

    @asynccontextmanager
    async def _events(self, client: "httpx.AsyncClient", version: str) -> "AsyncIterator[_Events]":
        """From here on every event is heard of."""
        filters = {"type": ["container"], "event": list(EVENTS), "label": [self._label]}
        params = {"filters": json.dumps(filters)}
        # between two events may be days
        request = client.build_request("GET", f"{version}/events", params=params, timeout=None)
        async with asyncio.timeout(self._timeout):
            response = await client.send(request, stream=True)
        try:
            await _good(response)
            events = _Events(response, self._sleep)
            try:
                yield events
            finally:
                await events.end()
        finally:
            await response.aclose()


class _Events:
    """The stream of events, of which only that something has happened matters."""

    def __init__(self, response: "httpx.Response", sleep: Sleep) -> None:
        self._happened = asyncio.Event()
        self._sleep = sleep
        self._task = asyncio.ensure_future(self._listen(response))

    async def _listen(self, response: "httpx.Response") -> None:
        try:
            async for _ in response.aiter_bytes():
                self._happened.set()
        finally:
            self._happened.set()

    async def next(self) -> bool:
        """Waits until something may have changed; false when no event will come any more."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._happened.wait(), LOOK_EVERY)
            await self._sleep(TOGETHER)
        self._happened.clear()
        return not self._task.done()

    async def end(self) -> None:
        self._task.cancel()
        # that the stream broke off is no news: the daemon will be asked again
        await asyncio.gather(self._task, return_exceptions=True)


async def _good(response: "httpx.Response") -> None:
    """Raises SourceError unless it is a good one; Docker says why in `message`."""
    if response.status_code == 200:
        return
    said = f"{response.status_code} {response.reason_phrase}"
    with suppress(SourceError, TypeError, KeyError):
        said = f"{said}: {json_of(await content(response))['message']}"
    raise SourceError(one_line(f"it answers {said}"))


def servers_of(containers: Iterable[Mapping[str, Any]], docker: Docker, max_connections: int) -> Found:
    """The servers that a list of containers stands for. One that cannot be reached is left out, with a note why."""
    servers: dict[str, Server] = {}
    notes = []
    for container in sorted(containers, key=_name):
        try:
            address = _address(container, docker)
            server = Server(address=address, weight=_weight(container), max_connections=max_connections)
        except (SourceError, PydanticCustomError) as error:
            why = error.context["sentence"] if isinstance(error, PydanticCustomError) and error.context else error
            notes.append(one_line(f"container {_name(container)} is left out: {why}"))
        else:
            servers.setdefault(address, server)
    return Found(tuple(servers.values()), tuple(notes))


def _name(container: Mapping[str, Any]) -> str:
    names = container.get("Names") or [str(container.get("Id", ""))[:12]]
    return str(names[0]).removeprefix("/")


def _address(container: Mapping[str, Any], docker: Docker) -> Address:
    """Raises SourceError or PydanticCustomError."""
    networks = (container.get("NetworkSettings") or {}).get("Networks") or {}
    if docker.network is not None:
        if docker.network not in networks:
            raise SourceError(f"it is not in the network {docker.network}")
        name = docker.network
    elif len(networks) == 1:
        name = next(iter(networks))
    else:
        listed = f"in {', '.join(sorted(networks))}: say which network" if networks else "in no network"
        raise SourceError(f"it is {listed}")
    there = networks[name] or {}
    # one in the network of the host has no address of its own
    host = "127.0.0.1" if name == "host" else there.get("IPAddress") or there.get("GlobalIPv6Address")
    if not host:
        raise SourceError(f"it has no address in the network {name}")
    return Address.read(f"[{host}]:{_port(container, docker)}" if ":" in host else f"{host}:{_port(container, docker)}")


def _port(container: Mapping[str, Any], docker: Docker) -> int:
    labels = container.get("Labels") or {}
    if PORT in labels:
        return _number(labels[PORT], PORT, 1, 65535)
    if docker.port is not None:
        return docker.port
    ports = {port["PrivatePort"] for port in container.get("Ports") or () if port.get("Type", "tcp") == "tcp"}
    if len(ports) != 1:
        exposed = f"exposes {', '.join(map(str, sorted(ports)))}" if ports else "exposes no port"
        raise SourceError(f"it {exposed}: say which by the label {PORT}")
    return int(ports.pop())


def _weight(container: Mapping[str, Any]) -> int:
    labels = container.get("Labels") or {}
    return _number(labels[WEIGHT], WEIGHT, 0, 1000) if WEIGHT in labels else 1


def _number(text: str, label: str, least: int, most: int) -> int:
    text = str(text)
    if not (text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most):
        raise SourceError(f"its label {label} is {text!r}, not a number from {least} to {most}")
    return int(text)
