"""The native module's stand-in for tests of the control plane: the same names, no threads and no sockets."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

FINGERPRINT = "fake"


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
        self.drains = threading.Event()
        """Set: flows end by themselves. Clear: they go on until stopped."""
        self.drains.set()
        self.explained: list[dict[str, Any]] = []
        self.explanation: dict[str, Any] = {}

    @staticmethod
    def fingerprint() -> str:
        return FINGERPRINT

    def explain(self, plan: str, request: str) -> str:
        assert json.loads(plan)["fingerprint"] == FINGERPRINT
        self.explained.append(json.loads(request))
        return json.dumps(self.explanation)

    def Engine(self, plan: str, inherited: list[tuple[str, int]] | None = None) -> "FakeEngine":
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
        self._stopped = threading.Event()

    def start(self) -> None:
        self.calls.append("start")

    def apply(self, plan: str) -> int:
        if self.module.refuse_apply is not None:
            raise EngineError(self.module.refuse_apply)
        self.calls.append("apply")
        if json.loads(plan) != self.plan:
            self.plan = json.loads(plan)
            self.epoch += 1
        return self.epoch

    def status(self) -> str:
        return json.dumps({"epoch": self.epoch, "connections": 3, "listeners": [{"name": "web", "requests": 7}]})

    def reopen_logs(self) -> None:
        self.calls.append("reopen_logs")

    def warnings(self) -> list[str]:
        taken, self.pending_warnings = self.pending_warnings, []
        return taken

    def drain(self, seconds: float) -> bool:
        self.calls.append(f"drain {seconds:g}")
        while not self._stopped.wait(0.01):
            if self.module.drains.is_set():
                return True
        return False

    def stop(self) -> None:
        self.calls.append("stop")
        self._stopped.set()


@contextmanager
def installed() -> Iterator[FakeModule]:
    """Puts the stand-in where the control plane looks for the native module."""
    from reviver.control import engine

    fake = FakeModule()
    real = engine._engine
    engine._engine = fake  # type: ignore[assignment]
    try:
        yield fake
    finally:
        engine._engine = real
