"""The native module's stand-in for tests of the control plane: the same names, no threads and no sockets."""

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from reviver.compile import FINGERPRINT


class EngineError(Exception):
    pass


class PlanError(EngineError):
    pass


class FakeModule:
    """Stands for `reviver._engine`. Tests set what the next calls do, and read what was asked."""

    EngineError = EngineError
    PlanError = PlanError

    def __init__(self) -> None:
        self.engines: list[FakeEngine] = []
        self.refuse_bind: str | None = None
        self.refuse_apply: str | None = None
        self.last_warning: str | None = None
        self.drains = threading.Event()
        """Set: flows end by themselves. Clear: they go on until stopped."""
        self.drains.set()
        self.aloud = False
        self.cache: dict[str, Any] | None = None
        """What the cache answers, by method; none: nothing is cached."""
        self.events: list[dict[str, Any]] = []
        """What has happened to servers when the engine is first asked for it."""
        self.mirrors: list[dict[str, Any]] = []
        """Reports of mirrors that have got requests."""
        self.explained: list[dict[str, Any]] = []
        self.explanation: dict[str, Any] = {}

    @staticmethod
    def fingerprint() -> str:
        return FINGERPRINT

    def explain(self, plan: str, request: str) -> str:
        assert json.loads(plan)["fingerprint"] == FINGERPRINT
        self.explained.append(json.loads(request))
        return json.dumps(self.explanation)

    def Engine(
        self,
        plan: str,
        check_password: Callable[[str, bytes], bool],
        inherited: list[tuple[str, int]] | None = None,
    ) -> "FakeEngine":
        if self.refuse_bind is not None:
            raise EngineError(self.refuse_bind)
        engine = FakeEngine(self, json.loads(plan), inherited or [])
        self.engines.append(engine)
        return engine

    @property
    def engine(self) -> "FakeEngine":
        """The only engine that was made."""
        (engine,) = self.engines
        return engine


class FakeEngine:
    def __init__(self, module: FakeModule, plan: dict[str, Any], inherited: list[tuple[str, int]]) -> None:
        self.module = module
        self.plan = plan
        self.inherited = inherited
        self.epoch = 1
        self.calls: list[str] = []
        self.pending_warnings: list[str] = []
        self.drained: set[tuple[str, str]] = set()
        self.weights: dict[str, list[int]] = {}
        """Of the splits whose weights were set."""
        self._stopped = threading.Event()
        self._called(f"bind as {os.geteuid()}, inherited {[address for address, _ in inherited]}")

    def _called(self, call: str) -> None:
        self.calls.append(call)
        if self.module.aloud:
            # in one piece: two threads may call at the same time
            sys.stdout.write(f"{call}\n")
            sys.stdout.flush()

    def start(self) -> None:
        self._called(f"start as {os.geteuid()}")

    def apply(self, plan: str) -> int:
        if self.module.refuse_apply is not None:
            raise EngineError(self.module.refuse_apply)
        self._called("apply")
        if json.loads(plan) != self.plan:
            before = {split["name"]: self._written(split) for split in self._reverse("splits")}
            self.plan = json.loads(plan)
            self.epoch += 1
            after = {split["name"]: self._written(split) for split in self._reverse("splits")}
            self.weights = {name: item for name, item in self.weights.items() if before[name] == after.get(name)}
        return self.epoch

    def status(self) -> str:
        group = {
            "requests": 7,
            "status": {"2xx": 6, "5xx": 1},
            "failures": {"connection_refused": 1},
            "bytes_in": 700,
            "bytes_out": 7 * 1024 * 1024,
            "latency_ms": {"count": 7, "p50": 0.25, "p99": 3.5},
        }
        return json.dumps(
            {
                "epoch": self.epoch,
                "retiring": [],
                "uptime_seconds": 3725.5,
                "workers": self.plan["workers"],
                "panics": 0,
                "listeners": [
                    {"name": item["name"], "role": item["role"], "bind": item["bind"], "connections": 3}
                    for item in self.plan["listeners"]
                ],
                "routes": ["all"],
                "pools": [{"name": "a", "servers": ["127.0.0.1:1"]}],
                "metrics": {"total": group, "listeners": {"web": group}, "routes": {}, "servers": {}},
                "logs": [],
            }
        )

    def cache_stats(self) -> str:
        return self._of_cache("stats")

    def cache_purge(self, request: str) -> str:
        self._called(f"cache_purge {request}")
        return self._of_cache("purge")

    def cache_get(self, request: str) -> str:
        self._called(f"cache_get {request}")
        return self._of_cache("get")

    def _of_cache(self, method: str) -> str:
        if self.module.cache is None:
            raise EngineError("no cache is configured")
        return json.dumps(self.module.cache[method])

    def _reverse(self, key: str) -> list[dict[str, Any]]:
        return [] if self.plan["reverse"] is None else self.plan["reverse"][key]

    @staticmethod
    def _written(split: dict[str, Any]) -> list[int]:
        return [variant["weight"] for variant in split["variants"]]

    def pool_status(self) -> str:
        def server(pool: str, written: dict[str, Any]) -> dict[str, Any]:
            state = "draining" if (pool, written["address"]) in self.drained else "up"
            shown = {key: value for key, value in written.items() if key != "at"}
            counts = {"in_flight": 1, "requests": 5, "errors": 0, "latency_ms": 1.5, "check": None}
            return {**shown, **counts, "state": state, "checked_ms_ago": None, "ejected_ms": None, "ejections": 0}

        pools = [
            {
                "name": pool["name"],
                "balance": pool["balance"],
                "panic": False,
                "waiting": 0,
                "servers": [server(pool["name"], item) for item in pool["servers"]],
            }
            for pool in self._reverse("pools")
        ]
        return json.dumps({"pools": pools})

    def pool_drain(self, pool: str, server: str, drained: bool) -> None:
        self._called(f"pool_drain {pool} {server} {drained}")
        (self.drained.add if drained else self.drained.discard)((pool, server))

    def split_status(self) -> str:
        def variant(written: dict[str, Any], weight: int) -> dict[str, Any]:
            pool = self._reverse("pools")[written["pool"]]["name"]
            counts: dict[str, Any] = {"requests": 0, "errors": 0, "statuses": {}, "latency": []}
            return {"name": written["name"], "pool": pool, "weight": weight, "written": written["weight"], **counts}

        splits = []
        for split in self._reverse("splits"):
            weights = self.weights.get(split["name"], self._written(split))
            variants = [variant(item, weight) for item, weight in zip(split["variants"], weights, strict=True)]
            baseline = variants[1] if split["canary"] else None
            splits.append(
                {"name": split["name"], "canary": split["canary"], "variants": variants, "baseline": baseline}
            )
        return json.dumps({"splits": splits})

    def split_set(self, name: str, weights: list[int]) -> None:
        self._called(f"split_set {name} {weights}")
        self.weights[name] = weights

    def mirror_status(self) -> str:
        return json.dumps({"mirrors": self.module.mirrors})

    def events(self) -> str:
        taken, self.module.events = self.module.events, []
        return json.dumps(taken)

    def reopen_logs(self) -> None:
        self._called("reopen_logs")

    def warnings(self) -> list[str]:
        taken, self.pending_warnings = self.pending_warnings, []
        return taken

    def drain(self, seconds: float) -> bool:
        self._called(f"drain {seconds:g}")
        while not self._stopped.wait(0.01):
            if self.module.drains.is_set():
                return True
        return False

    def stop(self) -> None:
        self._called("stop")
        if self.module.last_warning:
            self.pending_warnings.append(self.module.last_warning)
        self._stopped.set()


@contextmanager
def installed() -> Iterator[FakeModule]:
    """Puts the stand-in where the control plane looks for the native module."""
    fake = FakeModule()
    engine = _door(fake)
    real = engine._engine
    engine._engine = fake
    try:
        yield fake
    finally:
        engine._engine = real


def _door(fake: FakeModule) -> Any:
    """The control plane's only import of the native module; that one may not have been built."""
    try:
        from reviver.control import engine
    except ImportError:
        import reviver

        reviver._engine = fake  # type: ignore[assignment]
        from reviver.control import engine
    return engine


def main() -> int:
    """`reviver ARGUMENTS` on the stand-in.

    `$FAKE_ENGINE` sets what calls do, as JSON: refuse_bind, refuse_apply, last_warning, cache, events, mirrors,
    drains. Each call of the engine is a line on stdout.
    """
    from reviver.cli.main import run

    with installed() as fake:
        fake.aloud = True
        wishes = json.loads(os.environ.get("FAKE_ENGINE", "{}"))
        fake.refuse_bind = wishes.get("refuse_bind")
        fake.refuse_apply = wishes.get("refuse_apply")
        fake.last_warning = wishes.get("last_warning")
        fake.cache = wishes.get("cache")
        fake.events = wishes.get("events", [])
        fake.mirrors = wishes.get("mirrors", [])
        if not wishes.get("drains", True):
            fake.drains.clear()
        return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
