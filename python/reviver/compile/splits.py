"""Splits: variants of an application, each a pool with a weight."""

from reviver.compile import plan
from reviver.compile.mirrors import compile_mirror
from reviver.config import KeyPath, Loaded
from reviver.config.models import Force, Reverse, Split, SplitSticky

__all__ = ["compile_splits"]

_ALL = 10_000


def compile_splits(reverse: Reverse, loaded: Loaded) -> list[plan.Split]:
    """The splits in the order in which they were written; a route names one by its index."""
    pools = list(reverse.pools)
    return [_split(name, split, pools, loaded) for name, split in reverse.splits.items()]


def _split(name: str, split: Split, pools: list[str], loaded: Loaded) -> plan.Split:
    path: KeyPath = ("reverse", "splits", name)
    return {
        "name": name,
        "at": loaded.positions.place(path),
        "variants": _variants(split, pools),
        "canary": split.canary is not None,
        "sticky": _sticky(split.sticky),
        "force": _force(split.force),
        "response_header": split.response_header,
        "mirror": compile_mirror(split.mirror, split.canary, pools, (*path, "mirror"), loaded),
    }


def _variants(split: Split, pools: list[str]) -> list[plan.Variant]:
    # that it is either variants or both of the others has been checked
    if split.variants is not None:
        return [
            {"name": pool, "pool": pools.index(pool), "weight": int(share)} for pool, share in split.variants.items()
        ]
    weight = _weight(split)
    return [
        {"name": name, "pool": pools.index(pool), "weight": share}
        for name, pool, share in (("canary", split.canary, weight), ("stable", split.stable, _ALL - weight))
        if pool is not None
    ]


def _weight(split: Split) -> int:
    if split.weight is not None:
        return int(split.weight)
    return split.autopilot.weights[0] if split.autopilot is not None else 0


def _sticky(sticky: SplitSticky | None) -> plan.SplitSticky:
    if sticky is None:
        return "none"
    if sticky.cookie is not None:
        return {"cookie": {"name": sticky.cookie, "max_age": sticky.max_age.seconds}}
    return "client" if sticky.header is None else {"header": sticky.header.lower()}


def _force(force: Force | None) -> plan.Force | None:
    return None if force is None else {"header": force.header.lower(), "clients": list(force.clients)}
