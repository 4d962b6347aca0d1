"""What happens to pools and servers, as a person reads it in the journal."""

from collections.abc import Mapping
from typing import Any

from reviver.control.overlay import pools_of
from reviver.control.proxy import Proxy

SENTENCES = {
    "up": "is up",
    "down": "is down",
    "ejected": "is ejected",
    "returned": "has returned",
    "draining": "drains",
    "restored": "is restored",
    "out": "no server is left",
    "back": "there are servers again",
    "panic": "panic",
    "calm": "no more panic",
}
"""What each kind says of the server, or, where there is none, of the pool. Why, the engine says."""


def sentence(event: Mapping[str, Any], panic: int = 0) -> str:
    """One event on one line. `panic` is the pool's share of servers up, in basis points."""
    kind, server, detail = event["kind"], event["server"], event["detail"]
    said = SENTENCES.get(kind, kind)
    if kind == "panic" and panic:
        said += f": fewer than {panic / 100:g}% of the servers are up"
    text = f"pool {event['pool']}: {said if server is None else f'{server} {said}'}"
    return " ".join((f"{text}: {detail}" if detail else text).split())


class Events:
    """Of one running proxy."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    def lines(self) -> list[str]:
        """One for each event since the last call."""
        events = self._proxy.plane.events()
        if not events:
            return []
        panics = {pool["name"]: pool["panic"] for pool in pools_of(self._proxy.compiled.plan)}
        return [sentence(event, panics.get(event["pool"], 0)) for event in events]
