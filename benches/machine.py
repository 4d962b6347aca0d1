"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Machine:
    """Facts for the head of the report."""

    processor: str
    cores: int
    memory_gib: int
    kernel: str
    system: str
    load_average: float

    @property
    def busy(self) -> bool:
        """Whether other programs were running: figures are then noise."""
        return self.load_average > 0.5


def describe() -> Machine:
    """Reads the facts of this machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(
        processor=_first(Path("/proc/cpuinfo"), "model name", ":") or platform.machine(),
        cores=os.cpu_count() or 1,
        memory_gib=round(memory / 2**30),
        kernel=f"{platform.system()} {platform.release()}",
        system=_first(Path("/etc/os-release"), "PRETTY_NAME", "=").strip('"') or platform.system(),
        load_average=os.getloadavg()[0],
    )


def _first(path: Path, key: str, separator: str) -> str:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(separator)[2].strip() for line in lines if line.startswith(key)), "")
