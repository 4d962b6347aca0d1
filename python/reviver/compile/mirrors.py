"""Mirrors of splits and routes."""

from reviver.compile import plan
from reviver.config import KeyPath, Loaded
from reviver.config.models import Compare, Mirror

__all__ = ["compile_mirror"]


def compile_mirror(
    mirror: Mirror | None, canary: str | None, pools: list[str], path: KeyPath, loaded: Loaded
) -> plan.Mirror | None:
    """A mirror; one that names no pool is onto the canary's."""
    # that one of the pools is there has been checked
    to = None if mirror is None else mirror.to or canary
    if mirror is None or to is None:
        return None
    return {
        "at": loaded.positions.place(path),
        "pool": pools.index(to),
        "percent": int(mirror.percent),
        "body": int(mirror.body),
        "max": mirror.max,
        "compare": _compare(mirror.compare),
    }


def _compare(compare: Compare | None) -> plan.Compare | None:
    if compare is None:
        return None
    return {"headers": list(dict.fromkeys(name.lower() for name in compare.headers)), "body": compare.body}
