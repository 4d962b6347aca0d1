"""What holds between the keys of mirrors, of priorities and of the bounds that they go by."""

from collections.abc import Callable, Iterator

from reviver.config.findings import Finding, named
from reviver.config.models import Config, Pool, Reverse, Route, Split
from reviver.config.positions import KeyPath

__all__ = ["bounded", "check_mirrors", "mirrored"]

Written = Callable[[KeyPath], bool]


def check_mirrors(config: Config, written: Written) -> Iterator[Finding]:
    """Everything that is wrong between these keys."""
    reverse = config.reverse
    if reverse is None:
        return
    for name, split in reverse.splits.items():
        yield from _of_split(split, ("reverse", "splits", name), reverse, written)
    for index, route in enumerate(reverse.routes):
        path: KeyPath = ("reverse", "routes", index)
        yield from _of_route(route, path, reverse, written)
        yield from _priority(route, path, reverse, written)
        yield from _hedge(route, path, reverse, written)
    for name, pool in reverse.pools.items():
        yield from _adaptive(pool, ("reverse", "pools", name, "adaptive"), written)


def mirrored(reverse: Reverse) -> set[str | None]:
    """The pools that get copies."""
    mirrors = (*(route.mirror for route in reverse.routes), *(split.mirror for split in reverse.splits.values()))
    return {mirror.to for mirror in mirrors if mirror is not None}


def _of_split(split: Split, path: KeyPath, reverse: Reverse, written: Written) -> Iterator[Finding]:
    mirror, at = split.mirror, (*path, "mirror")
    if mirror is None:
        return
    if mirror.to is None:
        if written((*path, "variants")) and not written((*at, "to")):
            yield Finding(at, "says not which pool gets the copies", "give to: POOL", at_key=True)
        return
    yield from _to(mirror.to, at, reverse, written)
    if mirror.to == split.stable:
        hint = f"did you mean {split.canary}?" if split.canary not in (None, split.stable) else None
        yield Finding((*at, "to"), f"{mirror.to} is stable, so that it answers what is copied itself", hint)


def _of_route(route: Route, path: KeyPath, reverse: Reverse, written: Written) -> Iterator[Finding]:
    at = (*path, "mirror")
    if not written(at):
        return
    answering = [key for key in ("pool", "split") if written((*path, key))]
    other = next((key for key in ("respond", "redirect") if written((*path, key))), None)
    if other is not None and not answering:
        yield Finding(
            at,
            f"only what goes to a pool is copied, and this route has {other}",
            "leave it out",
            at_key=True,
        )
        return
    mirror = route.mirror
    if mirror is None:
        return
    yield from _to(mirror.to, at, reverse, written)
    split = None if route.split is None else reverse.splits.get(route.split)
    if mirror.to == route.pool:
        yield Finding(_place(at, written), f"{mirror.to} answers what is copied itself", "name another pool")
    elif split is not None and mirror.to == split.stable:
        yield Finding(
            _place(at, written),
            f"{mirror.to} is stable in split {route.split}, so that it answers what is copied itself",
            "name another pool",
        )


def _to(pool: str, at: KeyPath, reverse: Reverse, written: Written) -> Iterator[Finding]:
    if written(("reverse", "pools", pool)):
        return
    # a route's mirror may be written as its pool alone, and a split's as its share alone
    hint = f"write {{to: POOL, percent: {pool}}}" if pool.endswith("%") else named(reverse.pools, pool)
    yield Finding(_place(at, written), f"there is no pool {pool}", hint)


def _place(at: KeyPath, written: Written) -> KeyPath:
    return (*at, "to") if written((*at, "to")) else at


def _hedge(route: Route, path: KeyPath, reverse: Reverse, written: Written) -> Iterator[Finding]:
    at = (*path, "hedge")
    if not written(at):
        return
    if not written((*path, "pool")) and not written((*path, "split")):
        yield Finding(at, "only what goes to a pool is asked for twice", "leave it out", at_key=True)
        return
    pool = reverse.pools.get(route.pool) if route.pool is not None else None
    if pool is not None and len(pool.servers) == 1 and pool.discover is None:
        yield Finding(at, f"{route.pool} has no second server to ask", "leave it out", "warning", at_key=True)


def _priority(route: Route, path: KeyPath, reverse: Reverse, written: Written) -> Iterator[Finding]:
    at = (*path, "priority")
    if route.priority == "normal":
        return
    split = None if route.split is None else reverse.splits.get(route.split)
    names = {route.pool} if split is None else {split.stable, split.canary, *(split.variants or ())}
    pools = {name: pool for name, pool in reverse.pools.items() if name in names}
    # of a route that goes nowhere, and of pools that are not there, more is said elsewhere
    if not pools or any(bounded(pool, ("reverse", "pools", name), written) for name, pool in pools.items()):
        return
    yield Finding(
        at,
        f"nothing is refused by it: {' and '.join(pools)} {'has' if len(pools) == 1 else 'have'} no bound",
        "give max_requests or adaptive",
        "warning",
        at_key=True,
    )


def bounded(pool: Pool, path: KeyPath, written: Written) -> bool:
    """Whether one of its bounds is there; one that is wrong, and was cut out, is."""
    if pool.max_requests or pool.adaptive is not None:
        return True
    return any(key not in pool.model_fields_set and written((*path, key)) for key in ("max_requests", "adaptive"))


def _adaptive(pool: Pool, path: KeyPath, written: Written) -> Iterator[Finding]:
    adaptive = pool.adaptive
    if adaptive is None:
        return
    read = all(key in adaptive.model_fields_set or not written((*path, key)) for key in ("min", "max"))
    if adaptive.min > adaptive.max and read:
        yield Finding((*path, "min"), f"{adaptive.min} is more than max ({adaptive.max})")
