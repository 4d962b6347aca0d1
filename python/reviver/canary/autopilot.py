"""Steps, gates, commands, state."""

from collections.abc import Mapping
from typing import Any, Literal

from reviver.canary.actions import Action
from reviver.canary.counters import Counters
from reviver.canary.settings import Settings

Verb = Literal["abort", "promote", "resume", "set"]


class Autopilot:
    """Drives the weight of one split."""

    def __init__(self, settings: Settings, state: Mapping[str, Any] | None = None) -> None:
        """Begins a walk, or goes on from what `state()` gave, whatever the settings were then.

        The first `observe` asks for the weight that is due, so that the engine has it after a start.
        """
        raise NotImplementedError

    def observe(self, now: float, canary: Counters, baseline: Counters, available: bool) -> list[Action]:
        """One look, as often as one likes.

        Args:
            now: Seconds since the epoch.
            canary: What the canary has answered.
            baseline: What the share of stable has answered that the canary is compared with.
            available: False when no server of the canary can take requests.
        """
        raise NotImplementedError

    def gate_result(self, ok: bool, detail: str) -> list[Action]:
        """What came of the last `Gate`; one that did not pass is asked again after `every`."""
        raise NotImplementedError

    def command(self, verb: Verb, weight: int | None = None) -> list[Action]:
        """What a person asks for.

        Args:
            verb: `abort` takes the canary out, for good unless resumed; `promote` gives it all traffic at once; `set`
                holds it at a weight (still rolled back on harm); `resume` walks on after `set`, or again after an end.
            weight: For `set`, in basis points.

        Raises:
            OperationError: It makes no sense in this state.
        """
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """All that is needed to go on after a restart, as JSON."""
        raise NotImplementedError

    def status(self) -> dict[str, Any]:
        """What `reviver canary status` shows, as JSON."""
        raise NotImplementedError
