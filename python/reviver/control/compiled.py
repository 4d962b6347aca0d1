"""A configuration that is ready to be run."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reviver.compile import FINGERPRINT, Inputs, Plan, compile_plan, gather
from reviver.config import Loaded


@dataclass(frozen=True, slots=True)
class Compiled:
    """What was written, what was read for it, and its plan."""

    loaded: Loaded
    inputs: Inputs
    plan: Plan

    @property
    def document(self) -> str:
        """The plan as the engine takes it."""
        return json.dumps(self.plan, separators=(",", ":"))

    @property
    def log_files(self) -> list[Path]:
        """Absolute paths of the log files that the plan writes."""
        targets: list[Any] = [sink["to"] for sink in self.plan["logs"]]
        return [Path(target["file"]["path"]) for target in targets if isinstance(target, dict) and "file" in target]


def compile_loaded(loaded: Loaded) -> Compiled:
    """Reads what the configuration refers to and compiles the plan.

    The plan bears the fingerprint that the compiler was made for; an engine of another one refuses it. Raises
    ConfigurationError with every error.
    """
    inputs = gather(loaded)
    return Compiled(loaded, inputs, compile_plan(loaded, inputs, fingerprint=FINGERPRINT))
