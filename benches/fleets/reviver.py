"""Reviver in front of several servers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benches.fleets.base import HASHED, Fleet, Service

BY_HASH = ("hash", "maglev")
# what a health check asks for: the origin answers with a body of so many bytes
CHECKED = "/64"


class ReviverFleet(Fleet):
    """One pool with all servers."""

    peer = "Reviver"
    settings = (
        "`balance` as the scenario says, `hash_on: path`; health checks by `GET` over kept connections, all else as it "
        "comes; **access log on** as above"
    )

    def argv(self, folder: Path, port: int, service: Service) -> list[str | Path]:
        """One process."""
        path = folder / "reviver.json"
        path.write_text(json.dumps(self.configuration(folder, port, service), indent=1))
        return [self.path, "run", path]

    def configuration(self, folder: Path, port: int, service: Service) -> dict[str, Any]:
        """As the peer's, with one pool."""
        pool: dict[str, Any] = {
            "servers": list(service.servers),
            "balance": service.balance,
            "keep_alive": {"max": 1024, "idle": "1h"},
            **service.more,
        }
        if service.balance in BY_HASH:
            pool["hash_on"] = HASHED
        if service.check_every is not None:
            pool["health"] = {"path": CHECKED, "every": f"{round(service.check_every * 1000)}ms"}
        return {
            "workers": 1,
            "listeners": {"web": {"bind": f"127.0.0.1:{port}", "role": "reverse"}},
            "limits": {"requests_per_connection": "none"},
            "logs": [
                {"to": f"file:{folder}/access.log", "format": "json", "rotate": {"size": "512MiB", "keep": 1}},
            ],
            "control": {"socket": f"{folder}/control.sock"},
            "reverse": {"routes": [{"name": "all", "pool": "servers"}], "pools": {"servers": pool}},
        }
