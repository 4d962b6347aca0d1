"""What `Cache-Status` says (RFC 9211), read by a library for structured fields and held to the RFC's types."""

from dataclasses import dataclass
from typing import Any

import http_sf

from tests.support.client import Response

FORWARD_REASONS = {
    "bypass",
    "method",
    "uri-miss",
    "vary-miss",
    "miss",
    "request",
    "stale",
    "partial",
}
#: RFC 9211, section 2: the type of each parameter.
TYPES: dict[str, type | tuple[type, ...]] = {
    "hit": bool,
    "fwd": http_sf.Token,
    "fwd-status": int,
    "ttl": int,
    "stored": bool,
    "collapsed": bool,
    "key": str,
    "detail": (str, http_sf.Token),
}


@dataclass(frozen=True)
class CacheStatus:
    """One cache's member."""

    name: str
    parameters: dict[str, Any]

    @property
    def hit(self) -> bool:
        return self.parameters.get("hit") is True

    @property
    def fwd(self) -> str | None:
        value = self.parameters.get("fwd")
        return None if value is None else str(value)

    @property
    def stored(self) -> bool:
        return self.parameters.get("stored") is True

    @property
    def collapsed(self) -> bool:
        return self.parameters.get("collapsed") is True

    @property
    def ttl(self) -> int | None:
        return self.parameters.get("ttl")

    @property
    def key(self) -> str | None:
        return self.parameters.get("key")

    @property
    def detail(self) -> str | None:
        value = self.parameters.get("detail")
        return None if value is None else str(value)


def cache_statuses(response: Response) -> list[CacheStatus]:
    """All members, the origin's side first."""
    value = ", ".join(response.fields.values("Cache-Status"))
    if not value:
        return []
    members = []
    parsed: Any = http_sf.parse(value.encode("latin-1"), tltype="list")
    for name, parameters in parsed:
        assert isinstance(name, (str, http_sf.Token)), value
        for key, kind in TYPES.items():
            assert key not in parameters or isinstance(parameters[key], kind), f"{key} in {value}"
        assert "fwd" not in parameters or str(parameters["fwd"]) in FORWARD_REASONS, value
        assert not ("hit" in parameters and "fwd" in parameters), f"section 2.2: not both: {value}"
        assert "fwd" in parameters or not {"fwd-status", "stored", "collapsed"} & set(parameters), value
        members.append(CacheStatus(str(name), dict(parameters)))
    return members


def cache_status(response: Response) -> CacheStatus:
    """What the proxy under test says: the last member."""
    members = cache_statuses(response)
    assert members, f"no Cache-Status: {response.fields}"
    return members[-1]
