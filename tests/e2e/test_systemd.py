"""As a systemd service: notification, activation, a read-only life. Spoken to as systemd does."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import Client, fetch
from tests.support.proxy import Config, Proxy, free_port, reverse
from tests.support.wait import until

ROUTES: list[Config] = [{"name": "all", "respond": {"body": "here"}}]


class Manager:
    """The service manager's end of sd_notify(3)."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.path)
        self.sock.settimeout(20)

    def expect(self, state: str) -> dict[str, str]:
        """Waits for a message that holds `state`; what else it holds."""
        while True:
            lines = self.sock.recv(4096).decode().splitlines()
            if state in lines:
                return dict(line.split("=", 1) for line in lines)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(tmp_path / "notify")
    yield manager
    manager.sock.close()


def test_ready_means_listening(manager: Manager) -> None:
    with Proxy(reverse(routes=ROUTES), env={"NOTIFY_SOCKET": manager.path}, wait=False) as proxy:
        assert manager.expect("READY=1").get("STATUS")
        assert fetch(proxy.port).status == 200, "at once, without a retry"
        proxy.signal(signal.SIGHUP)
        assert manager.expect("RELOADING=1")["MONOTONIC_USEC"].isdigit()
        manager.expect("READY=1")
        proxy.path.write_text("{")
        proxy.signal(signal.SIGHUP)
        manager.expect("RELOADING=1")
        manager.expect("READY=1")
        proxy.signal(signal.SIGTERM)
        manager.expect("STOPPING=1")
        assert proxy.wait() == 0


def test_the_watchdog_is_fed(manager: Manager) -> None:
    with Proxy(reverse(routes=ROUTES), env={"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "400000"}):
        for _ in range(3):
            manager.expect("WATCHDOG=1")


def test_an_abstract_notify_socket() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(f"\0reviver-test-{os.getpid()}")
        sock.settimeout(20)
        with Proxy(reverse(routes=ROUTES), env={"NOTIFY_SOCKET": f"@reviver-test-{os.getpid()}"}):
            assert b"READY=1" in sock.recv(4096)


def activated(config: Config, *sockets: socket.socket) -> Proxy:
    """Starts a proxy with listening sockets as descriptors 3, 4, ... (sd_listen_fds(3))."""
    moves = " ".join(f"{3 + number}<&{sock.fileno()}" for number, sock in enumerate(sockets))
    return Proxy(
        config,
        env={"LISTEN_FDS": str(len(sockets))},
        prefix=["bash", "-c", f'export LISTEN_PID=$$; exec "$@" {moves}', "bash"],
        pass_fds=[sock.fileno() for sock in sockets],
    )


def lonely_socket(port: int, host: str = "127.0.0.1") -> socket.socket:
    """A listening socket that shares its port with nobody: a second bind would fail."""
    return socket.create_server((host, port), reuse_port=False)


def test_an_activated_socket_is_served() -> None:
    config = reverse(routes=ROUTES)
    port = int(config["listeners"]["web"]["bind"].rpartition(":")[2])
    with lonely_socket(port) as sock, activated(config, sock) as proxy:
        for _ in range(20):
            assert fetch(proxy.port).text == "here"


def test_activated_and_own_sockets_side_by_side() -> None:
    config = reverse(routes=ROUTES)
    port, more, own = int(config["listeners"]["web"]["bind"].rpartition(":")[2]), free_port(), free_port()
    config["listeners"]["more"] = {"bind": [f"127.0.0.1:{more}", f"127.0.0.1:{own}"], "role": "reverse"}
    with lonely_socket(more) as second, lonely_socket(port) as first, activated(config, second, first):
        for address in (port, more, own):
            assert fetch(address).text == "here"


def test_a_connection_made_before_the_start_is_served() -> None:
    config = reverse(routes=ROUTES)
    port = int(config["listeners"]["web"]["bind"].rpartition(":")[2])
    with lonely_socket(port) as sock:
        waiting = Client(port)
        waiting.request()
        with waiting, activated(config, sock):
            assert waiting.response().text == "here"


def test_an_activated_socket_survives_a_reload() -> None:
    config = reverse(routes=ROUTES)
    port = int(config["listeners"]["web"]["bind"].rpartition(":")[2])
    with lonely_socket(port) as sock, activated(config, sock) as proxy:
        until((proxy.folder / "control.sock").exists, "the control socket")
        proxy.config["reverse"] = {"routes": [{"name": "all", "respond": {"body": "there"}}]}
        done = proxy.reload()
        assert done.returncode == 0, done.stderr
        for _ in range(10):
            assert fetch(port).text == "there"


def test_sockets_meant_for_another_process_are_left_alone() -> None:
    config = reverse(routes=ROUTES)
    with Proxy(config, env={"LISTEN_FDS": "3", "LISTEN_PID": "1"}) as proxy:
        assert fetch(proxy.port).text == "here"
