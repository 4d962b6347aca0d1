"""What was changed while the proxy ran, and outlives it: a JSON file for each configuration.

It is in the user's state folder, `proxies/NAME/state.json` beside the certificates, NAME being that of the default
control socket. It is written in one step, readable by its owner alone, and is there only while there is something to
keep.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reviver.certificates.storage import Storage, default_folder
from reviver.compile import Plan
from reviver.compile import plan as types
from reviver.config import Loaded
from reviver.control.overlay import Overlay, pools_of
from reviver.control.paths import name_of
from reviver.errors import OperationError

VERSION = 1
FILE = "state.json"

Written = list[list[Any]]
"""The variants of a split as they are written: name, pool and weight of each."""


@dataclass(slots=True)
class SplitRecord:
    """What became of a split."""

    written: Written
    """What it replaced; it holds only while the configuration says the same."""
    weights: list[int] | None = None
    """Those in force, in basis points; none: the written ones."""
    autopilot: dict[str, Any] | None = None
    """Where the autopilot is, in its own words."""

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"written": self.written, "weights": self.weights, "autopilot": self.autopilot}

    @classmethod
    def read(cls, table: Mapping[str, Any]) -> "SplitRecord":
        """Raises TypeError, KeyError or ValueError where it is not of that form."""
        written = [[str(name), str(pool), int(weight)] for name, pool, weight in table["written"]]
        weights = None if table["weights"] is None else [int(weight) for weight in table["weights"]]
        if weights is not None and (len(weights) != len(written) or sum(weights) != 10_000 or min(weights) < 0):
            raise ValueError("weights that do not add up")
        return cls(written, weights, None if table["autopilot"] is None else dict(table["autopilot"]))


@dataclass(slots=True)
class State:
    """All of it."""

    overlay: Overlay = field(default_factory=Overlay)
    drained: dict[str, set[str]] = field(default_factory=dict)
    """Addresses by pool."""
    splits: dict[str, SplitRecord] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.overlay or any(self.drained.values()) or self.splits)

    def as_dict(self) -> dict[str, Any]:
        """As JSON; `read` is the way back."""
        return {
            "servers": self.overlay.as_dict(),
            "drained": {pool: sorted(servers) for pool, servers in self.drained.items() if servers},
            "splits": {name: record.as_dict() for name, record in self.splits.items()},
        }

    @classmethod
    def read(cls, table: Mapping[str, Any]) -> "State":
        """Raises TypeError, KeyError, ValueError or AttributeError where it is not of that form."""
        drained = {str(pool): set(map(str, servers)) for pool, servers in table["drained"].items()}
        splits = {str(name): SplitRecord.read(record) for name, record in table["splits"].items()}
        return cls(Overlay.read(table["servers"]), drained, splits)


class StateFile:
    """Where the state of one proxy is kept. `identity` is that of its configuration."""

    def __init__(self, identity: str, base: Path | None = None) -> None:
        folder = default_folder().parent if base is None else base
        self.identity = identity
        self._storage = Storage(folder / "proxies" / name_of(identity))
        self._last: str | None = None

    @property
    def folder(self) -> Path:
        """The folder, which holds nothing else."""
        return self._storage.folder

    @property
    def path(self) -> Path:
        """The file."""
        return self._storage.path(FILE)

    def load(self, report: Callable[[str], None]) -> State:
        """What was kept; one that cannot be used is reported, and is as if there was none."""
        try:
            text = self._storage.read(FILE)
            if text is None:
                return State()
            table = json.loads(text)
            if table["version"] != VERSION:
                raise ValueError(f"version {table['version']!r}; this is version {VERSION}")
            state = State.read(table)
        except OperationError as error:
            report(f"what was changed at run time is not restored: {error}")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            reason = str(error) if isinstance(error, ValueError) else "it is not of a form that is known"
            report(f"what was changed at run time is not restored: {self.path}: {reason}")
        else:
            self._last = text
            return state
        return State()

    def save(self, table: Mapping[str, Any], *, keep: bool) -> None:
        """Writes what `State.as_dict` gave, where it differs from what is there; removes it where not to `keep`.

        Raises OperationError.
        """
        if not keep:
            if self._last is not None:
                self._storage.remove(FILE)
                self._last = None
            return
        text = json.dumps({"version": VERSION, "configuration": self.identity, **table}, indent=1) + "\n"
        if text != self._last:
            self._storage.prepare()
            self._storage.write(FILE, text)
            self._last = text

    @staticmethod
    def is_own(name: str) -> bool:
        """Whether a file of that name in the folder is of this."""
        return name == FILE or name.startswith(f".{FILE}.")


def written_of(split: types.Split, plan: Plan) -> Written:
    """What tells a split from one of the same name that means something else."""
    pools = pools_of(plan)
    return [[variant["name"], pools[variant["pool"]]["name"], variant["weight"]] for variant in split["variants"]]


def splits_of(plan: Plan) -> list[types.Split]:
    """The splits of a plan."""
    return [] if plan["reverse"] is None else plan["reverse"]["splits"]


def has_autopilot(loaded: Loaded) -> bool:
    """Whether a split of the configuration is driven."""
    splits = {} if loaded.config.reverse is None else loaded.config.reverse.splits
    return any(split.autopilot is not None for split in splits.values())
