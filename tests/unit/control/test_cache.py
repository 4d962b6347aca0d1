"""What a running proxy answers about its cache, on the engine's stand-in."""

import threading
from pathlib import Path
from typing import Any

import pytest

from reviver.control import cache, client, protocol
from tests.unit.control.test_serve import running
from tests.unit.control.test_socket import running as answering

ANSWERS = {"stats": {"stored": 3}, "purge": {"purged": 2}, "get": {"key": "k", "stored": []}}


def test_the_engine_is_asked(tmp_path: Path) -> None:
    with running(tmp_path, cache=ANSWERS) as proxy:
        assert client.ask(proxy.socket, "cache.stats") == {"stored": 3}
        purge = {"select": {"host": "a.example"}, "soft": False}
        assert client.ask(proxy.socket, "cache.purge", request=purge) == {"purged": 2}
        get: dict[str, Any] = {"method": "GET", "url": "http://a.example/", "headers": [], "listener": None}
        assert client.ask(proxy.socket, "cache.get", request=get) == {"key": "k", "stored": []}
        assert 'cache_purge {"select": {"host": "a.example"}, "soft": false}' in proxy.calls


def test_without_a_cache_it_says_so_and_goes_on(tmp_path: Path) -> None:
    asked: list[tuple[protocol.Command, dict[str, Any] | None]] = [
        ("cache.stats", None), ("cache.purge", {"select": {"all": True}}), ("cache.get", {"url": "/"}),
    ]  # fmt: skip
    with running(tmp_path) as proxy:
        for command, request in asked:
            with pytest.raises(client.RefusedError, match="no cache is configured"):
                client.ask(proxy.socket, command, request=request)
        assert "cache" not in client.ask(proxy.socket, "status")


@pytest.mark.parametrize("command", ["cache.purge", "cache.get"])
def test_a_request_without_what_is_asked_is_refused(tmp_path: Path, command: protocol.Command) -> None:
    with running(tmp_path, cache=ANSWERS) as proxy:
        with pytest.raises(client.RefusedError, match="no object under"):
            client.ask(proxy.socket, command)
        assert client.ask(proxy.socket, "ping")


def test_the_status_tells_of_a_cache(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(
        "listeners: {office: {bind: '127.0.0.1:18081', role: forward}}\n"
        "forward: {cache: true}\ncontrol: {socket: c.sock}\nlogs: []\n"
    )
    with running(tmp_path, cache=ANSWERS) as proxy:
        assert client.ask(proxy.socket, "status")["cache"] == {"stored": 3}


class _Slow:
    """A proxy whose purge takes until it has been said that it takes long."""

    def __init__(self) -> None:
        self.noticed = threading.Event()

    def cache_purge(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self.noticed.wait(20)
        return {"purged": 1_000_000}


def test_a_long_purge_tells_that_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "PROGRESS_EVERY", 0.01)
    slow = _Slow()
    handlers = {"cache.purge": cache.Cache(slow).purge}  # type: ignore[arg-type]
    with answering(tmp_path / "c.sock", handlers):
        done = client.ask(
            tmp_path / "c.sock",
            "cache.purge",
            request={"select": {"all": True}},
            on_progress=lambda _: slow.noticed.set(),
        )
    assert done == {"purged": 1_000_000}
