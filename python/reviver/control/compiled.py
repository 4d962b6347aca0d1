"""A configuration that is ready to be run."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reviver.certificates.proofs import Material
from reviver.certificates.wants import certificate_files
from reviver.compile import FINGERPRINT, Inputs, Plan, compile_plan, gather
from reviver.config import Loaded
from reviver.control.files import Signature, signature
from reviver.control.overlay import Overlay


@dataclass(frozen=True, slots=True)
class Compiled:
    """What was written, what was read for it, and its plan."""

    loaded: Loaded
    inputs: Inputs
    plan: Plan
    certificate_files: Signature
    """Those of certificates, keys and authorities, and the state in which they were read."""

    @property
    def document(self) -> str:
        """The plan as the engine takes it."""
        return json.dumps(self.plan, separators=(",", ":"))

    @property
    def log_files(self) -> list[Path]:
        """Absolute paths of the log files that the plan writes."""
        targets: list[Any] = [sink["to"] for sink in self.plan["logs"]]
        return [Path(target["file"]["path"]) for target in targets if isinstance(target, dict) and "file" in target]

    @property
    def cache_folder(self) -> Path | None:
        """Where the cache is on disk, if it is there."""
        disk = None if self.plan["cache"] is None else self.plan["cache"]["disk"]
        return None if disk is None else Path(disk["path"])

    def without_disk(self) -> "Compiled":
        """The same, but for the cache: that is in memory only."""
        cache = self.plan["cache"]
        if cache is None or cache["disk"] is None:
            return self
        return replace(self, plan={**self.plan, "cache": {**cache, "disk": None}})

    def under(self, overlay: Overlay) -> "Compiled":
        """The same, with the servers that were changed at run time."""
        return replace(self, plan=overlay.over(self.plan)) if overlay else self

    def made_with(self, material: Material) -> "Compiled":
        """The same configuration and the same files, with other certificates obtained or names being proved."""
        return _compiled(self.loaded, self.inputs, material, self.certificate_files)


def compile_loaded(loaded: Loaded, material: Material | None = None) -> Compiled:
    """Reads what the configuration refers to and compiles the plan. `material` is what the control plane adds.

    The plan bears the fingerprint that the compiler was made for; an engine of another one refuses it. Raises
    ConfigurationError with every error.
    """
    # before they are read: what changes meanwhile is another state
    files = signature(certificate_files(loaded))
    return _compiled(loaded, gather(loaded), material or Material(), files)


def _compiled(loaded: Loaded, inputs: Inputs, material: Material, files: Signature) -> Compiled:
    inputs = replace(inputs, automatic=material.automatic, internal=material.internal, challenges=material.challenges)
    return Compiled(loaded, inputs, compile_plan(loaded, inputs, fingerprint=FINGERPRINT), files)
