"""Reviver's cache."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benches.caches.base import Cache, Room


class ReviverCache(Cache):
    """Memory, and behind it a disk where there is one."""

    name = "Reviver"
    peer = "Reviver"
    disk = True
    settings = "`cache: true` on the route, `memory` and `disk` as the scenario says, **access log on** as above"

    def argv(self, folder: Path, files: Path, port: int, origin: int, room: Room) -> list[str | Path]:
        """One process."""
        path = folder / "reviver.json"
        path.write_text(json.dumps(self.configuration(folder, files, port, origin, room), indent=2))
        return [self.path, "run", path]

    def configuration(self, folder: Path, files: Path, port: int, origin: int, room: Room) -> dict[str, Any]:
        """As the peer's, without what no cache is asked for."""
        route: dict[str, Any] = {"name": "all", "pool": "origin"}
        tree: dict[str, Any] = {
            "workers": 1,
            "listeners": {"web": {"bind": f"127.0.0.1:{port}", "role": "reverse"}},
            "limits": {"requests_per_connection": "none"},
            "logs": [
                {"to": f"file:{folder}/access.log", "format": "json", "rotate": {"size": "512MiB", "keep": 1}},
            ],
            "control": {"socket": f"{folder}/control.sock"},
            "reverse": {
                "routes": [route],
                "pools": {"origin": {"servers": [f"127.0.0.1:{origin}"], "keep_alive": {"max": 1024}}},
            },
        }
        if not self.plain:
            route["cache"] = True
            cache: dict[str, Any] = {"memory": room.memory}
            if room.disk is not None:
                cache["disk"] = {"path": str(files / "objects"), "size": room.disk}
            tree["cache"] = cache
        return tree


class ReviverPlain(ReviverCache):
    """The same without the cache."""

    name = "Reviver, no cache"
    plain = True
    settings = "the same without `cache`"
