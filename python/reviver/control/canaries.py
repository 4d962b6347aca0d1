"""The event loop's side of splits: what commands ask of them, with and without an autopilot."""

import asyncio
import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from reviver.control import protocol
from reviver.control.live import Live
from reviver.control.overlay import unknown
from reviver.control.proxy import Proxy
from reviver.control.server import Progress
from reviver.control.state import has_autopilot
from reviver.errors import OperationError

if TYPE_CHECKING:
    from reviver.canary.autopilot import Verb
    from reviver.control.autopilot import Autopilots, Runner

FULL = 10_000
"""All traffic, in basis points."""
NEEDED = (
    "requests", "reviver.canary.status", "reviver.canary.trial", "reviver.control.autopilot",
    "reviver.control.autopilot_tasks",
)  # fmt: skip
"""What is loaded only where there is an autopilot."""
LAST_EVENTS = 2.0
"""Seconds that webhooks may still take when the proxy ends."""


class Canaries:
    """Of one running proxy."""

    def __init__(self, proxy: Proxy, live: Live, report: Callable[[str], None]) -> None:
        self._proxy = proxy
        self._live = live
        self._report = report
        self._autopilots: Autopilots | None = None
        self._ended = False

    # ---- autopilots

    async def follow(self) -> None:
        """Starts, changes and ends autopilots by the configuration in force; comes after `Live.put_back`."""
        loaded = self._proxy.compiled.loaded
        if self._autopilots is None:
            if not has_autopilot(loaded):
                return
            # the statistics take a while to load, and nothing waits for it
            await asyncio.to_thread(lambda: [importlib.import_module(name) for name in NEEDED])
            from reviver.control.autopilot import Autopilots

            self._autopilots = Autopilots(self._proxy, self._live, self._report)
        from reviver.control.autopilot_tasks import tasks_of

        self._autopilots.follow(tasks_of(loaded))
        # the weight of a new one is right before the first request comes
        self._autopilots.look()
        await self._autopilots.save()

    async def run(self) -> None:
        """Lets autopilots look and act until it is cancelled; those of later reloads too."""
        while not self._ended:
            if self._autopilots is not None:
                await self._autopilots.run()
            await asyncio.sleep(1.0)

    async def finish(self, *, at_once: bool) -> None:
        """Keeps where autopilots are, and ends them; what they have told may still be delivered for a moment."""
        self._ended = True
        if self._autopilots is not None:
            await self._autopilots.finish(0.0 if at_once else LAST_EVENTS)

    # ---- commands

    async def status(self, message: Mapping[str, Any], _: Progress) -> dict[str, Any]:
        """Each split, or the one that is named."""
        wanted = protocol.request_of(message).get("split")
        splits = self._splits()
        if wanted is not None:
            self._known(wanted, splits)
        return {"splits": [self._shown(split) for name, split in splits.items() if wanted in (None, name)]}

    async def set(self, message: Mapping[str, Any], _: Progress) -> dict[str, Any]:
        """Weights by hand: `weight`, the canary's, or `weights`, by variant; in basis points."""
        request = protocol.request_of(message)
        split = self._split(request)
        names = [variant["name"] for variant in split["variants"]]
        weight, weights = request.get("weight"), request.get("weights")
        if weights is None:
            if not split["canary"]:
                evenly = without([1] * len(names) + [0], len(names))
                example = " ".join(f"{name}={share / 100:g}%" for name, share in zip(names, evenly, strict=False))
                raise OperationError(f"split {split['name']} has no canary; say the weight of each variant: {example}")
            wanted = [_weight(weight), FULL - _weight(weight)]
        else:
            for name in weights:
                if name not in names:
                    unknown(f"split {split['name']} has no variant {name}", name, names)
            wanted = [_weight(weights.get(name, 0)) for name in names]
        if sum(wanted) != FULL:
            raise OperationError(f"the weights add up to {sum(wanted) / 100:g}%, not to 100%")
        return await self._change(split, "set", wanted)

    async def promote(self, message: Mapping[str, Any], _: Progress) -> dict[str, Any]:
        """All traffic to the canary, or to the variant that is named, in one step."""
        request = protocol.request_of(message)
        split = self._split(request)
        chosen = _chosen(split, request.get("variant"), "promote")
        return await self._change(split, "promote", [FULL * (index == chosen) for index in range(_count(split))])

    async def abort(self, message: Mapping[str, Any], _: Progress) -> dict[str, Any]:
        """No traffic to the canary, or to the variant that is named: the others share it as before."""
        request = protocol.request_of(message)
        split = self._split(request)
        chosen = _chosen(split, request.get("variant"), "abort")
        weights = [variant["weight"] for variant in split["variants"]]
        return await self._change(split, "abort", without(weights, chosen))

    async def resume(self, message: Mapping[str, Any], _: Progress) -> dict[str, Any]:
        """The autopilot goes on."""
        split = self._split(protocol.request_of(message))
        if self._runner(split) is None:
            raise OperationError(f"split {split['name']} has no autopilot that could go on")
        return await self._change(split, "resume", [])

    async def _change(self, split: Mapping[str, Any], verb: "Verb", weights: list[int]) -> dict[str, Any]:
        """By the autopilot where there is one, which is to know of it."""
        name, runner = split["name"], self._runner(split)
        if runner is None:
            self._live.set_weights(name, weights)
            pairs = zip(split["variants"], weights, strict=True)
            listed = " ".join(f"{variant['name']}={weight / 100:g}%" for variant, weight in pairs)
            self._report(f"split {name}: {verb} by hand: {listed}")
            await self._live.save()
        else:
            runner.command(verb, weights[0] if verb == "set" else None)
            runner.remember()
            await self._live.save()
        return self._shown(self._split({"split": name}))

    # ---- what there is

    def _splits(self) -> dict[str, dict[str, Any]]:
        return {split["name"]: split for split in self._proxy.plane.split_status()["splits"]}

    def _split(self, request: Mapping[str, Any]) -> dict[str, Any]:
        splits = self._splits()
        return splits[self._known(protocol.text_of(request, "split"), splits)]

    def _known(self, name: Any, splits: Mapping[str, Any]) -> str:
        if name not in splits:
            unknown(f"there is no split {name}", str(name), splits)
        return cast("str", name)

    def _runner(self, split: Mapping[str, Any]) -> "Runner | None":
        return None if self._autopilots is None else self._autopilots.get(split["name"])

    def _shown(self, split: Mapping[str, Any]) -> dict[str, Any]:
        runner = self._runner(split)
        return {**split, "autopilot": None if runner is None else runner.shown()}


def without(weights: list[int], out: int) -> list[int]:
    """The weights when one is taken out and the others keep their proportions; adds up to the whole."""
    others = sum(weights) - weights[out]
    left = [index for index in range(len(weights)) if index != out]
    if not others:
        # nobody else has any: evenly
        weights, others = [int(index != out) for index in range(len(weights))], len(left)
    shares = [0 if index == out else weights[index] * FULL // others for index in range(len(weights))]
    # what rounding has left goes to those that lost most by it, the first one first
    by_loss = sorted(left, key=lambda index: -(weights[index] * FULL % others))
    for index in by_loss[: FULL - sum(shares)]:
        shares[index] += 1
    return shares


def _count(split: Mapping[str, Any]) -> int:
    return len(split["variants"])


def _chosen(split: Mapping[str, Any], variant: Any, verb: str) -> int:
    names = [item["name"] for item in split["variants"]]
    if variant is None:
        if split["canary"]:
            return 0
        raise OperationError(f"split {split['name']} has no canary; say which variant to {verb}: {', '.join(names)}")
    if variant not in names:
        unknown(f"split {split['name']} has no variant {variant}", str(variant), names)
    if split["canary"] and names.index(variant) != 0:
        raise OperationError(f"{verb} is about the canary; `canary set {split['name']}` sets any weight")
    return names.index(variant)


def _weight(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= FULL:
        raise protocol.ProtocolError(f"{value!r} is not a weight from 0 to {FULL}")
    return value
