"""Gathering what TLS needs: the files of listeners and pools, and whether certificates fit the routes."""

from collections.abc import Sequence
from datetime import datetime

from reviver.compile.certificates import Names, Pair, read_authorities, read_pair
from reviver.compile.files import Files
from reviver.config import KeyPath, Loaded
from reviver.config.names import automatic_domains

__all__ = ["gather_tls"]

_SOME = 4


def gather_tls(
    loaded: Loaded, files: Files, certificates: dict[KeyPath, Pair], authorities: dict[KeyPath, str], now: datetime
) -> None:
    """Reads every certificate, key and authority that is named; what is wrong with them goes to `files`."""

    def pair(table: KeyPath, certificate: str, key: str | None) -> None:
        at = (*table, "certificate"), (*table, "key")
        read = read_pair(files, at, certificate, key, now, serves=table[0] == "listeners")
        if read is not None:
            certificates[table] = read

    def authority(key: KeyPath, name: str | None) -> None:
        if name is not None and (text := read_authorities(files, key, name, now)) is not None:
            authorities[key] = text

    path: KeyPath
    for name, listener in loaded.config.listeners.items():
        if (tls := listener.tls) is None:
            continue
        path = ("listeners", name, "tls")
        for index, item in enumerate(tls.certificates):
            pair((*path, "certificates", index), item.certificate, item.key)
        authority((*path, "client_ca"), tls.client_ca)
        if tls.automatic is not None:
            authority((*path, "automatic", "directory_ca"), tls.automatic.directory_ca)
            storage = tls.automatic.storage
            if storage is not None and (folder := files.path(storage)).exists() and not folder.is_dir():
                files.refuse(
                    (*path, "automatic", "storage"), f"{folder} is no folder", "name one, or what is not there yet"
                )
    reverse = loaded.config.reverse
    for name, pool in reverse.pools.items() if reverse is not None else ():
        if pool.tls is None:
            continue
        path = ("reverse", "pools", name, "tls")
        authority((*path, "ca"), pool.tls.ca)
        if pool.tls.certificate is not None:
            pair(path, pool.tls.certificate, pool.tls.key)
    if not files.errors:
        _uncovered(loaded, files, certificates)


def _some(texts: Sequence[str], separator: str) -> str:
    """The texts, or as many of them as fit a line."""
    more = [f"{len(texts) - _SOME} more"] if len(texts) > _SOME else []
    return separator.join([*texts[:_SOME], *more])


def _uncovered(loaded: Loaded, files: Files, certificates: dict[KeyPath, Pair]) -> None:
    """Warns of hosts of routes that no listener has a certificate for. Every listener serves every route."""
    config = loaded.config
    listeners = {n: item.tls for n, item in config.listeners.items() if item.tls and item.role == "reverse"}
    if config.reverse is None or not listeners or any(tls.internal for tls in listeners.values()):
        return
    pairs = [pair for path, pair in certificates.items() if path[0] == "listeners" and path[1] in listeners]
    names = [pair.names for pair in pairs]
    names += [Names(automatic_domains(config, tls)) for tls in listeners.values()]
    which = f"listener{'s' if len(listeners) > 1 else ''} {', '.join(listeners)}"
    hint = _some([f"{pair.name} is for {_some(pair.names.listed, ', ') or 'no host'}" for pair in pairs], "; ")
    for number, route in enumerate(config.reverse.routes):
        for index, host in enumerate(route.match.host):
            if not any(item.cover(host) for item in names):
                files.warn(
                    ("reverse", "routes", number, "match", "host", index),
                    f"no certificate of {which} covers {host}, a host of route {route.name or f'route-{number + 1}'}",
                    hint or None,
                )
