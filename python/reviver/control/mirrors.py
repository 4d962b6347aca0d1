"""The event loop's side of mirrors: what was copied to them, and how their answers differ."""

from collections.abc import Mapping
from typing import Any, NoReturn

from reviver.compile.plan import Plan
from reviver.control import protocol
from reviver.control.overlay import unknown
from reviver.control.proxy import Proxy
from reviver.control.server import Progress
from reviver.errors import OperationError

NOTHING: Mapping[str, Any] = {
    "copied": 0, "skipped": {}, "compared": 0, "same": 0, "unanswered": 0, "noise": {}, "differences": [], "more": 0,
}  # fmt: skip
"""Of a mirror that has got nothing yet."""


class Mirrors:
    """Of one running proxy."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    async def diff(self, message: Mapping[str, Any], _: Progress) -> dict[str, Any]:
        """Each mirror, or that of the split or route that is named."""
        wanted = protocol.request_of(message).get("name")
        plan = self._proxy.compiled.plan
        reports = {report["name"]: report for report in self._proxy.plane.mirror_status()["mirrors"]}
        mirrors = [
            {**mirror, **NOTHING, **reports.get(mirror["name"], {})}
            for mirror in _configured(plan)
            if wanted in (None, mirror["name"])
        ]
        if wanted is not None and not mirrors:
            _refuse(str(wanted), plan)
        return {"mirrors": mirrors}


def _configured(plan: Plan) -> list[dict[str, Any]]:
    """The mirrors of splits, then those of routes, in the order in which they were written."""
    reverse = plan["reverse"]
    if reverse is None:
        return []
    owners = [("split", split["name"], split["mirror"]) for split in reverse["splits"]]
    owners += [("route", route["name"], route["mirror"]) for route in reverse["routes"]]
    return [
        {
            "name": name,
            "of": kind,
            "at": mirror["at"],
            "pool": reverse["pools"][mirror["pool"]]["name"],
            "percent": mirror["percent"],
            "compare": mirror["compare"],
        }
        for kind, name, mirror in owners
        if mirror is not None
    ]


def _refuse(name: str, plan: Plan) -> NoReturn:
    reverse = plan["reverse"]
    if reverse is not None:
        for kind, owners in (("split", reverse["splits"]), ("route", reverse["routes"])):
            if any(owner["name"] == name for owner in owners):
                raise OperationError(f"{kind} {name} has no mirror")
    unknown(f"there is no mirror of {name}", name, dict.fromkeys(mirror["name"] for mirror in _configured(plan)))
