"""The Zipf workload, made from a seed, and what policies make of it where nothing is served."""

from __future__ import annotations

import itertools
import json
import math
import random
import tempfile
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from benches.loads import MeasureError
from benches.toolbox import Toolbox, last_line, run

SIMULATOR = Path(__file__).with_name("simulator.py")


@dataclass(frozen=True)
class Workload:
    """Objects with sizes, and an order in which they are asked for."""

    objects: int
    requests: int
    alpha: float
    seed: int = 9111

    def shorter(self, times: int) -> Workload:
        """The same with fewer objects and requests."""
        return replace(self, objects=self.objects // times, requests=self.requests // times)

    def sizes(self) -> list[int]:
        """Of the bodies, by object; independent of how often it is asked for."""
        return _sizes(self)

    def trace(self) -> list[int]:
        """Objects in the order in which they are asked for."""
        return _trace(self)

    def targets(self) -> list[str]:
        """The same as paths."""
        sizes = self.sizes()
        return [f"/z{number}/{sizes[number]}" for number in self.trace()]

    def bytes(self) -> int:
        """Of all objects together."""
        return sum(self.sizes())


@cache
def _sizes(workload: Workload) -> list[int]:
    rng = random.Random(workload.seed)
    return [max(64, min(65_536, round(rng.lognormvariate(math.log(4096), 1.0)))) for _ in range(workload.objects)]


@cache
def _trace(workload: Workload) -> list[int]:
    rng = random.Random(workload.seed + 1)
    weights = itertools.accumulate((rank + 1) ** -workload.alpha for rank in range(workload.objects))
    return rng.choices(range(workload.objects), cum_weights=list(weights), k=workload.requests)


ZIPF = Workload(100_000, 400_000, 0.9)


def simulate(toolbox: Toolbox, workload: Workload, policy: str) -> float:
    """Hits of a policy with room for a tenth of the bytes, in percent."""
    return _simulated(toolbox.folder, workload)[policy]


@cache
def _simulated(folder: Path, workload: Workload) -> dict[str, float]:
    sizes = workload.sizes()
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"room": workload.bytes() // 10, "requests": [[it, sizes[it]] for it in workload.trace()]}, file)
        file.flush()
        done = run([str(folder / "venv" / "bin" / "python"), str(SIMULATOR), file.name])
    if done.returncode != 0:
        raise MeasureError(f"the simulator failed: {last_line(done)}")
    hits: dict[str, float] = json.loads(done.stdout)
    return hits
