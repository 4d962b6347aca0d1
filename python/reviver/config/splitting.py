"""What holds between the keys of splits, and of limits and tries of routes."""

from collections.abc import Callable, Iterator
from itertools import pairwise

from reviver.config.findings import Finding, named
from reviver.config.models import Config, Reverse, Route, Split
from reviver.config.positions import KeyPath
from reviver.config.shares import Percent

__all__ = ["check_splits"]

Written = Callable[[KeyPath], bool]


def check_splits(config: Config, written: Written) -> Iterator[Finding]:
    """Everything that is wrong between these keys."""
    reverse = config.reverse
    if reverse is None:
        return
    used = {route.split for route in reverse.routes}
    for name, split in reverse.splits.items():
        path: KeyPath = ("reverse", "splits", name)
        if name not in used:
            yield Finding(path, "no route uses this split", None, "warning")
        if written((*path, "variants")):
            yield from _variants(split, path, reverse, written)
        else:
            yield from _canary(split, path, reverse, written)
        if split.autopilot is not None:
            yield from _steps(split.autopilot.steps, (*path, "autopilot", "steps"))
        if split.sticky is not None:
            yield from _sticky((*path, "sticky"), written)
    for index, route in enumerate(reverse.routes):
        yield from _limits(route, route.name or f"route-{index + 1}", ("reverse", "routes", index, "limit"))
        yield from _retry(config, route, ("reverse", "routes", index), written)


def _variants(split: Split, path: KeyPath, reverse: Reverse, written: Written) -> Iterator[Finding]:
    for key in ("stable", "canary", "weight"):
        if written((*path, key)):
            yield Finding(
                (*path, key), "has no place beside variants", "give stable and canary, or variants", at_key=True
            )
    if written((*path, "autopilot")):
        yield Finding(
            (*path, "autopilot"),
            "judges a canary, and variants have none",
            "give stable and canary in place of variants",
            at_key=True,
        )
    for pool in split.variants or ():
        if not written(("reverse", "pools", pool)):
            yield Finding(
                (*path, "variants", pool), f"there is no pool {pool}", named(reverse.pools, pool), at_key=True
            )


def _canary(split: Split, path: KeyPath, reverse: Reverse, written: Written) -> Iterator[Finding]:
    missing = [key for key in ("stable", "canary") if not written((*path, key))]
    if len(missing) == 2:
        yield Finding(path, "names no pool", "give stable and canary, or variants: {POOL: 50, POOL2: 50}", at_key=True)
    elif missing:
        what = {"stable": "the pool of the version that is in use", "canary": "the pool of the version that is tried"}
        yield Finding(path, f"has no {missing[0]}", f"give {missing[0]}: {what[missing[0]]}", at_key=True)
    for key, pool in (("stable", split.stable), ("canary", split.canary)):
        if pool is not None and not written(("reverse", "pools", pool)):
            yield Finding((*path, key), f"there is no pool {pool}", named(reverse.pools, pool))
    if split.canary is not None and split.canary == split.stable:
        yield Finding((*path, "canary"), f"{split.canary} is stable too, so that nothing is divided", "name two pools")


def _steps(steps: tuple[Percent, ...], path: KeyPath) -> Iterator[Finding]:
    if not steps[0]:
        yield Finding((*path, 0), "is no step: nobody gets the canary", "begin with 1%")
    for index, (before, step) in enumerate(pairwise(steps), 1):
        if step <= before:
            yield Finding((*path, index), f"{step} is not more than {before} before it", "steps grow")


def _sticky(path: KeyPath, written: Written) -> Iterator[Finding]:
    kinds = [key for key in ("cookie", "header", "client") if written((*path, key))]
    if not kinds:
        yield Finding(
            path,
            "says not what a person is known by",
            "give one of cookie: NAME, header: NAME, client: true",
            at_key=True,
        )
    elif len(kinds) > 1:
        yield Finding(path, f"has {' and '.join(kinds)}, where one is needed", "keep one of them", at_key=True)
    elif "cookie" not in kinds and written((*path, "max_age")):
        yield Finding((*path, "max_age"), f"has no effect beside {kinds[0]}", None, "warning", at_key=True)


def _limits(route: Route, name: str, path: KeyPath) -> Iterator[Finding]:
    seen: set[str] = set()
    for index, limit in enumerate(route.limit):
        called = limit.name or (f"{name}-{index + 1}" if index else name)
        if called in seen:
            yield Finding(
                (*path, index, "name"), f"another limit of this route is called {called} already", "name it otherwise"
            )
        seen.add(called)


def _retry(config: Config, route: Route, path: KeyPath, written: Written) -> Iterator[Finding]:
    retry = route.retry
    read = "backoff" in retry.model_fields_set or not written((*path, "retry", "backoff"))
    if retry.max_backoff is not None and retry.backoff > retry.max_backoff and read:
        yield Finding((*path, "retry", "backoff"), f"{retry.backoff} is more than max_backoff ({retry.max_backoff})")
    first_byte = route.timeout.first_byte or config.timeout.first_byte
    if retry.try_timeout is not None and retry.try_timeout > first_byte:
        yield Finding(
            (*path, "retry", "try_timeout"),
            f"has no effect: no answer is waited for longer than first_byte ({first_byte})",
            None,
            "warning",
        )
