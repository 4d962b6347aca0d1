"""Whether one match takes in all that another one matches: then a route behind it is never reached.

Only what is certain counts: of regular expressions nothing is known but that equal ones are equal.
"""

import ipaddress
from collections.abc import Callable, Mapping

from reviver.config.models import ClientCertificate, Match

__all__ = ["covers"]


def covers(wide: Match, narrow: Match) -> bool:
    """Whether every request that `narrow` matches is matched by `wide` too."""
    return (
        _any_covers(wide.host, narrow.host, _host)
        and _any_covers(wide.path, narrow.path, _path)
        and _any_covers(wide.method, narrow.method, str.__eq__)
        and _any_covers(wide.client, narrow.client, _network)
        and _certificate(wide.client_certificate, narrow.client_certificate)
        and _fields(_lower(wide.header), _lower(narrow.header))
        and _fields(wide.query, narrow.query)
        and _fields(wide.cookie, narrow.cookie)
    )


def _any_covers(wide: tuple[str, ...], narrow: tuple[str, ...], one: Callable[[str, str], bool]) -> bool:
    if not wide:
        return True
    return bool(narrow) and all(any(one(w, n) for w in wide) for n in narrow)


def _host(wide: str, narrow: str) -> bool:
    return wide == narrow or (wide.startswith("*.") and narrow.removeprefix("*").endswith(wide[1:]))


def _path(wide: str, narrow: str) -> bool:
    if wide in ("*", "/*"):
        return True
    if narrow.startswith("~") or wide.startswith("~"):
        return wide == narrow
    return wide == narrow or (wide.endswith("*") and narrow.removesuffix("*").startswith(wide[:-1]))


def _network(wide: str, narrow: str) -> bool:
    outer, inner = ipaddress.ip_network(wide), ipaddress.ip_network(narrow)
    return outer.version == inner.version and inner.subnet_of(outer)  # type: ignore[arg-type]


def _certificate(wide: ClientCertificate | None, narrow: ClientCertificate | None) -> bool:
    if wide is None or narrow is None:
        return wide is None
    return _any_covers(wide.subject, narrow.subject, str.__eq__) and _any_covers(
        wide.fingerprint, narrow.fingerprint, str.__eq__
    )


def _fields(wide: Mapping[str, str], narrow: Mapping[str, str]) -> bool:
    return all(name in narrow and (pattern in ("*", narrow[name])) for name, pattern in wide.items())


def _lower(fields: Mapping[str, str]) -> dict[str, str]:
    """Names of header fields are compared without case (RFC 9110, section 5.1)."""
    return {name.lower(): pattern for name, pattern in fields.items()}
