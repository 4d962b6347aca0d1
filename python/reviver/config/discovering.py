"""What holds between the keys of `discover`, and between it and the rest of a pool."""

from collections.abc import Callable, Iterator

from reviver.config.findings import Finding
from reviver.config.models import Discover, Pool
from reviver.config.models.discover import KINDS
from reviver.config.positions import KeyPath

__all__ = ["check_discover"]

Written = Callable[[KeyPath], bool]

_OF = {"min_ttl": ("dns", "srv"), "max_ttl": ("dns", "srv"), "every": ("http",), "headers": ("http",)}
"""Keys that only these sources heed."""


def check_discover(pool: Pool, path: KeyPath, written: Written) -> Iterator[Finding]:
    """Everything that is wrong with where the servers of the pool at `path` come from."""
    servers = (*path, "servers")
    if pool.discover is not None:
        yield from _discover(pool.discover, (*path, "discover"), written)
    elif written((*path, "discover")):
        # what is wrong with it is said already
        return
    elif not written(servers):
        yield Finding(servers, "is missing", "give servers, or discover")
    elif not pool.servers and not written((*servers, 0)):
        yield Finding(servers, "is empty", "give at least one", at_key=True)


def _discover(discover: Discover, path: KeyPath, written: Written) -> Iterator[Finding]:
    kinds = [kind for kind in KINDS if written((*path, kind))]
    if len(kinds) > 1:
        yield Finding(path, f"has {' and '.join(kinds)}, where one is needed", "make a pool of each", at_key=True)
    elif not kinds:
        yield Finding(path, "says not where servers are found", f"give one of {', '.join(KINDS)}", at_key=True)
    else:
        for key, heeding in _OF.items():
            if written((*path, key)) and kinds[0] not in heeding:
                yield Finding((*path, key), f"has no effect beside {kinds[0]}", None, "warning", at_key=True)
    if discover.min_ttl > discover.max_ttl:
        yield Finding((*path, "min_ttl"), f"{discover.min_ttl} is more than max_ttl ({discover.max_ttl})")
