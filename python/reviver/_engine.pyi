"""The native data plane. Only `reviver.control` and `reviver.hooks` import it."""

from collections.abc import Callable
from typing import Self, final

__all__ = [
    "Engine",
    "EngineError",
    "PlanError",
    "schema",
    "fingerprint",
    "phases",
    "reasons",
    "explain",
    "demo_origins",
]

class EngineError(Exception):
    """The engine could not do what was asked; the text is one line for a person."""

class PlanError(EngineError):
    """A plan was refused; the running one is unchanged."""

def schema() -> str:
    """JSON Schema of the plan."""

def fingerprint() -> str:
    """Fingerprint of that schema; a plan must carry it."""

def phases() -> str:
    """The phase table as JSON: name, side, verdicts, sentence."""

def reasons() -> str:
    """The table of reasons as JSON: name, status, fault, proxy_status, sentence."""

def explain(plan: str, request: str) -> str:
    """Decides one request by a plan, without sending anything.

    `request` is JSON: listener (name or null), method, url, headers (list of [name, value]), client (address).
    The answer is JSON, the fields of `reviver_flow::Explanation`: outcome, status, reason (slug), at (`file:line`),
    route, pool, servers, and `steps`, each with phase, verdict, reason, at and detail.
    Raises PlanError where the plan or the request is not usable.
    """

def demo_origins(names: list[str]) -> list[str]:
    """Starts one small HTTP/1.1 origin a name on free loopback ports; returns their addresses."""

@final
class Engine:
    """The worker threads and their sockets. All methods are quick unless said otherwise."""

    def __new__(
        cls,
        plan: str,
        check_password: Callable[[str, bytes], bool],
        inherited: list[tuple[str, int]] | None = None,
    ) -> Self:
        """Builds the first snapshot and binds all listeners. `check_password(hash, password)` is called from
        threads that may block, never on a worker's own; its answers are remembered. `inherited` maps
        `address:port` to a listening socket's file descriptor (socket activation). Raises PlanError, or
        EngineError naming the address that could not be bound or the log that could not be opened."""

    def start(self) -> None:
        """Starts the workers: from here on connections are served."""

    def apply(self, plan: str) -> int:
        """Swaps in another plan and returns the new epoch; equal plans return the running epoch.
        Raises PlanError or EngineError, and then nothing has changed."""

    def status(self) -> str:
        """JSON: epoch, uptime, listeners, routes, servers, workers, counters, latency quantiles, logs."""

    def cache_stats(self) -> str:
        """JSON: memory and disk (objects, bytes, limit), requests by verdict, hit_ratio, why_missed, not_stored,
        stored, evicted, purged, collapsed, the same by route, and the most used keys.
        Raises EngineError where nothing is cached, as do the next two."""

    def cache_purge(self, request: str) -> str:
        """Takes objects out of the cache, or makes them stale, for all workers and on disk.

        `request` is JSON: select, soft. `select` has one of: all (true), url, prefix, host, tag, group, expression (a
        node: all or any of nodes, not a node, or field, op and value). The answer is JSON: purged, a count.
        Raises EngineError where the request is not usable. Blocks (GIL released)."""

    def cache_get(self, request: str) -> str:
        """What is stored for a request; nothing is changed and nothing is counted.

        `request` is JSON: method, url, headers (list of [name, value]), listener (name or null). The answer is JSON:
        key, route, verdict, reason, and `stored`, each with variant, status, age, ttl, basis, size, stored_as, tags,
        groups, hits, stored_at, fields, verdict, reason. Raises EngineError where the request is not usable."""

    def pool_status(self) -> str:
        """JSON: `pools`, each with name, balance, panic, waiting and `servers`: address, state (up, down, ejected,
        draining, warming), weight, backup, max_connections, in_flight, requests, errors, latency_ms, check,
        checked_ms_ago, ejected_ms, ejections."""

    def pool_drain(self, pool: str, server: str, drained: bool) -> None:
        """Gives a server no new requests, or gives it some again; those in flight go on, and it holds for all workers
        at once. Raises EngineError where there is no such pool or server."""

    def split_status(self) -> str:
        """JSON: `splits`, each with name, canary, `variants` and `baseline`. A variant is name, pool, weight (basis
        points, in force), written, requests, errors (status 500 and more), `statuses` (by class and by status) and
        `latency`: pairs of upper bound in microseconds and count, since the start, of the time to the first byte.
        The baseline is the same of the share of stable that the canary is compared with, or null."""

    def split_set(self, name: str, weights: list[int]) -> None:
        """Sets the weights of a split's variants, in basis points, for all workers at once; they hold over each
        reload that leaves those that were written unchanged. Raises EngineError where that is not possible."""

    def mirror_status(self) -> str:
        """JSON: `mirrors`, each that was given a request, with name (of the split or the route), copied, `skipped`
        (counts by body, busy, upgrade), compared, same, unanswered, `noise` (counts by what differs by itself),
        `differences` (route, what, answered, mirrored, count, paths), the most frequent first, and more (of kinds
        that are not listed). Since the start."""

    def events(self) -> str:
        """JSON: list of what has changed since the last call, each with pool, server (or null), kind (up, down,
        ejected, returned, draining, restored, out, back, panic, calm) and detail."""

    def reopen_logs(self) -> None:
        """Opens log files anew (after an external rotation)."""

    def warnings(self) -> list[str]:
        """Takes the operational warnings since the last call (log sinks that fail, workers that panicked)."""

    def drain(self, seconds: float) -> bool:
        """Refuses new connections, lets flows finish; True when all did within the time. Blocks (GIL released)."""

    def stop(self) -> None:
        """Ends what is left, flushes the logs and joins the workers. Blocks (GIL released)."""
