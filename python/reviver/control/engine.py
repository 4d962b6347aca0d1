"""The one door to the native module: JSON on its side, dictionaries and our own errors on ours."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from reviver import _engine
from reviver.control.compiled import Compiled
from reviver.control.passwords import check_password
from reviver.errors import OperationError


def explain(
    compiled: Compiled,
    method: str,
    url: str,
    *,
    listener: str | None = None,
    headers: Iterable[tuple[str, str]] = (),
    client: str = "127.0.0.1",
) -> dict[str, Any]:
    """Decides one request by the compiled plan without sending anything.

    Returns the engine's answer: `outcome`, `status`, `reason`, `at`, `route`, `servers`, `steps` and more. Raises
    OperationError where the request is not usable.
    """
    request = {
        "listener": listener,
        "method": method,
        "url": url,
        "headers": [list(header) for header in headers],
        "client": client,
    }
    with _translated():
        answer: dict[str, Any] = json.loads(_engine.explain(compiled.document, json.dumps(request)))
    return answer


def demo_origins(names: Sequence[str]) -> list[str]:
    """Starts one small origin a name on free loopback ports; returns their addresses, in order."""
    with _translated():
        return _engine.demo_origins(list(names))


class DataPlane:
    """The engine's worker threads and sockets, with the errors of the control plane.

    Methods are quick, except `drain`, `stop` and `cache_purge`, which block the calling thread and no other.
    """

    def __init__(self, compiled: Compiled, inherited: Sequence[tuple[str, int]] = ()) -> None:
        with _translated():
            self._engine = _engine.Engine(compiled.document, check_password, list(inherited))

    def start(self) -> None:
        """Starts the workers: from here on connections are served."""
        with _translated():
            self._engine.start()

    def apply(self, compiled: Compiled) -> int:
        """Swaps in another plan and returns the epoch; after an OperationError nothing has changed."""
        with _translated():
            return self._engine.apply(compiled.document)

    def status(self) -> dict[str, Any]:
        """What the engine tells of itself: epoch, uptime, listeners, routes, servers, counters, latencies, logs."""
        with _translated():
            status: dict[str, Any] = json.loads(self._engine.status())
        return status

    def cache_stats(self) -> dict[str, Any]:
        """Bytes and objects by tier, counters of all requests and by route, the most used keys."""
        with _translated():
            stats: dict[str, Any] = json.loads(self._engine.cache_stats())
        return stats

    def cache_purge(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Removes, or makes stale, what `request` selects; tells how many that were."""
        with _translated():
            purged: dict[str, Any] = json.loads(self._engine.cache_purge(json.dumps(request)))
        return purged

    def cache_get(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """What is stored for a request, and whether it would be served now, and why."""
        with _translated():
            found: dict[str, Any] = json.loads(self._engine.cache_get(json.dumps(request)))
        return found

    def pool_status(self) -> dict[str, Any]:
        """`pools`: the state of each and of its servers."""
        with _translated():
            status: dict[str, Any] = json.loads(self._engine.pool_status())
        return status

    def pool_drain(self, pool: str, server: str, drained: bool) -> None:
        """Gives a server no new requests, or gives it some again."""
        with _translated():
            self._engine.pool_drain(pool, server, drained)

    def split_status(self) -> dict[str, Any]:
        """`splits`: the variants of each, with weights in force, counts and latencies since the start."""
        with _translated():
            status: dict[str, Any] = json.loads(self._engine.split_status())
        return status

    def split_set(self, name: str, weights: Sequence[int]) -> None:
        """Sets the weights of a split's variants, in basis points."""
        with _translated():
            self._engine.split_set(name, list(weights))

    def mirror_status(self) -> dict[str, Any]:
        """`mirrors`: what was copied, by name of the split or the route, and how answers differ, since the start."""
        with _translated():
            status: dict[str, Any] = json.loads(self._engine.mirror_status())
        return status

    def events(self) -> list[dict[str, Any]]:
        """What has happened to pools and servers since the last call."""
        with _translated():
            events: list[dict[str, Any]] = json.loads(self._engine.events())
        return events

    def reopen_logs(self) -> None:
        """Opens log files anew, after they were moved away."""
        with _translated():
            self._engine.reopen_logs()

    def warnings(self) -> list[str]:
        """The operational warnings since the last call."""
        return self._engine.warnings()

    def drain(self, seconds: float) -> bool:
        """Refuses new connections and lets flows finish; whether all did in time."""
        with _translated():
            return self._engine.drain(seconds)

    def stop(self) -> None:
        """Ends what is left, flushes the logs and joins the workers."""
        with _translated():
            self._engine.stop()


@contextmanager
def _translated() -> Iterator[None]:
    """The engine's errors are one line for a person already; only their class changes."""
    try:
        yield
    except _engine.EngineError as error:
        raise OperationError(str(error)) from error
