"""Fetching a list of URLs through a running proxy, so that its cache has them."""

import contextlib
import functools
import http.client
import ipaddress
import queue
import re
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from reviver import __version__
from reviver.cli.urls import PORTS, split

PATIENCE = 60.0
"""Seconds without a byte after which a response has failed."""
BLOCK = 64 * 1024

Outcome = Literal["stored", "there", "not stored", "failed"]


class Fetched(NamedTuple):
    """What came of one URL."""

    url: str
    outcome: Outcome
    status: int | None
    size: int
    """Bytes of the body."""
    reason: str
    """Why it has failed, or was not stored; empty where nobody says."""


@dataclass(slots=True)
class Summary:
    """What came of them all."""

    fetched: int = 0
    stored: int = 0
    there: int = 0
    not_stored: Counter[str] = field(default_factory=Counter)
    failed: list[Fetched] = field(default_factory=list)
    size: int = 0

    def add(self, item: Fetched) -> None:
        """Counts one more."""
        if item.outcome == "failed":
            self.failed.append(item)
            return
        self.fetched += 1
        self.size += item.size
        if item.outcome == "stored":
            self.stored += 1
        elif item.outcome == "there":
            self.there += 1
        else:
            self.not_stored[item.reason] += 1

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {
            "fetched": self.fetched,
            "stored": self.stored,
            "there": self.there,
            "not_stored": dict(self.not_stored),
            "failed": [{"url": item.url, "status": item.status, "reason": item.reason} for item in self.failed],
            "bytes": self.size,
        }


class Target(NamedTuple):
    """Where a request goes."""

    host: str
    port: int
    tls: bool
    absolute: bool
    """Asked as a forward proxy: the whole URL is the request's target."""


class Choice:
    """Chooses the target of each URL among the listeners of the running proxy."""

    def __init__(self, listeners: Sequence[Mapping[str, Any]], via: str | None, name: str | None) -> None:
        """`via` is connected to in place of a listener's own address; without listeners it is a forward proxy.

        Raises ValueError with a sentence where there is no listener of that name.
        """
        if name is not None:
            names = [item["name"] for item in listeners]
            if name not in names:
                raise ValueError(f"there is no listener {name!r}; there are: {', '.join(names)}")
            listeners = [item for item in listeners if item["name"] == name]
        elif via is not None:
            listeners = [item for item in listeners if _listens(item, via.rpartition(":")[2])]
        if via is not None and not listeners:
            listeners = [{"role": "forward", "bind": [via]}]
        self._listeners = listeners
        self._via = via

    def __call__(self, url: str) -> Target:
        """The target of one URL. Raises ValueError with a sentence where no listener takes it."""
        scheme, where, _ = split(url)
        reverse = [item for item in self._listeners if item["role"] == "reverse"]
        fitting = [item for item in reverse if bool(item.get("tls")) == (scheme == "https")]
        port = re.search(r":(\d+)\Z", where)
        here = (item for item in fitting if _listens(item, port[1] if port else str(PORTS[scheme])))
        chosen = next(here, fitting[0] if fitting else None)
        if chosen is not None:
            return self._target(chosen, absolute=False)
        forward = next((item for item in self._listeners if item["role"] == "forward"), None)
        if forward is None:
            raise ValueError(f"no listener of the proxy speaks {scheme}")
        if scheme == "https":
            raise ValueError("a forward proxy tunnels https, and caches nothing of it")
        return self._target(forward, absolute=True)

    def _target(self, listener: Mapping[str, Any], *, absolute: bool) -> Target:
        host, _, port = (self._via or listener["bind"][0]).rpartition(":")
        # what is bound to all addresses is reached on loopback
        host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)
        return Target(host.strip("[]"), int(port), bool(listener.get("tls")), absolute)


def fetch_all(
    urls: Sequence[str], choose: Callable[[str], Target], headers: Sequence[tuple[str, str]], concurrency: int
) -> Iterator[Fetched]:
    """Fetches them all, some at a time; yields each as it comes."""
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    for url in urls:
        waiting.put(url)
    done: queue.SimpleQueue[Fetched] = queue.SimpleQueue()

    def work() -> None:
        with contextlib.closing(_Client(choose, headers)) as client:
            while True:
                try:
                    url = waiting.get_nowait()
                except queue.Empty:
                    return
                done.put(client.fetch(url))

    for _ in range(min(concurrency, len(urls))):
        # whoever interrupts the command does not wait for what is on its way
        threading.Thread(target=work, daemon=True).start()
    for _ in urls:
        yield done.get()


class _Client:
    """One connection at a time, kept from one URL to the next."""

    def __init__(self, choose: Callable[[str], Target], headers: Sequence[tuple[str, str]]) -> None:
        self._choose = choose
        self._headers = headers
        self._connection: _Connection | None = None

    def fetch(self, url: str) -> Fetched:
        try:
            target = self._choose(url)
            _, where, rest = split(url)
            name = where.rpartition(":")[0] if re.search(r":\d+\Z", where) else where
            kept = self._connection is not None and self._connection.serves(target, name)
            if not kept:
                self._connect(target, name)
            try:
                return self._exchange(url, url if target.absolute else rest, where)
            except ConnectionError:
                if not kept:
                    raise
                # the proxy may close an idle connection at any time
                self._connect(target, name)
                return self._exchange(url, url if target.absolute else rest, where)
        except Exception as error:
            self.close()
            return Fetched(url, "failed", None, 0, _sentence(error))

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self, target: Target, name: str) -> None:
        self.close()
        self._connection = _Connection(target, name.strip("[]"))

    def _exchange(self, url: str, wanted: str, where: str) -> Fetched:
        connection = self._connection
        assert connection is not None
        own = {"host": where, "user-agent": f"reviver/{__version__}", "accept": "*/*"}
        given = {name.lower() for name, _ in self._headers}
        connection.putrequest("GET", wanted, skip_host=True, skip_accept_encoding=True)
        for name, value in (*((name, value) for name, value in own.items() if name not in given), *self._headers):
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        size = 0
        while block := response.read(BLOCK):
            size += len(block)
        if response.length:
            raise http.client.IncompleteRead(b"", response.length)
        if response.status >= 400:
            error = _parameters(response.getheader("proxy-status", "")).get("error", "")
            reason = f"{response.status} {response.reason}".rstrip() + (f" ({error})" if error else "")
            return Fetched(url, "failed", response.status, size, reason)
        return Fetched(url, *_outcome(response, size))


def _outcome(response: http.client.HTTPResponse, size: int) -> tuple[Outcome, int, int, str]:
    """By the last member of Cache-Status (RFC 9211, section 2), which is of the cache closest to us."""
    field_value = response.getheader("cache-status")
    if field_value is None:
        return "not stored", response.status, size, "no Cache-Status"
    said = _parameters(field_value)
    if "hit" in said or "collapsed" in said:
        return "there", response.status, size, ""
    if "stored" in said:
        return "stored", response.status, size, ""
    return "not stored", response.status, size, said.get("detail") or said.get("fwd") or "no reason is told"


_QUOTED = r'"(?:[^"\\]|\\.)*"'


def _parameters(field_value: str) -> dict[str, str]:
    """Those of the last member of a list, less those that are false (RFC 8941, sections 3.1 and 3.1.2)."""
    members: list[str] = re.findall(rf'(?:{_QUOTED}|[^,"])+', field_value)
    parts: list[str] = re.findall(rf'(?:{_QUOTED}|[^;"])+', members[-1]) if members else []
    found: dict[str, str] = {}
    for part in parts[1:]:
        name, _, value = part.strip().partition("=")
        if value != "?0":
            found[name.strip().lower()] = re.sub(r"\\(.)", r"\1", value.strip().strip('"'))
    return found


class _Response(http.client.HTTPResponse):
    """One that lets every interim response go by, not only 100 (RFC 9110, section 15.2)."""

    def _read_status(self) -> tuple[str, int, str]:
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 100 <= status < 200 or status == 101:
                return version, status, reason
            http.client.parse_headers(self.fp)


class _Connection(http.client.HTTPConnection):
    """To the proxy; `name` is whom it is asked for."""

    response_class = _Response

    def __init__(self, target: Target, name: str) -> None:
        super().__init__(target.host, target.port, timeout=PATIENCE)
        self._target = target
        self._name = name

    def serves(self, target: Target, name: str) -> bool:
        """Whether it may be used for another request too."""
        return self._target == target and (not target.tls or self._name == name.strip("[]"))

    def connect(self) -> None:
        super().connect()
        if self._target.tls:
            self.sock = _trust(_is_loopback(self._target.host)).wrap_socket(self.sock, server_hostname=self._name)


@functools.cache
def _trust(loopback: bool) -> ssl.SSLContext:
    """On loopback nobody is between: a certificate that only others can check does not matter there."""
    context = ssl.create_default_context()
    if loopback:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listens(listener: Mapping[str, Any], port: str) -> bool:
    return any(bind.rpartition(":")[2] == port for bind in listener["bind"])


def _sentence(error: Exception) -> str:
    """One line about what went wrong."""
    if isinstance(error, http.client.IncompleteRead):
        return "the response ends too early"
    if isinstance(error, TimeoutError):
        return f"no answer within {PATIENCE:g} s"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower() if not isinstance(error, ssl.SSLError) else str(error)
    return " ".join(str(error).split()) or type(error).__name__


def unique(urls: Iterable[str]) -> list[str]:
    """Each once, in their order."""
    return list(dict.fromkeys(urls))
