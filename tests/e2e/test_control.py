"""The control socket and the commands that talk over it."""

import json
import os
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import fetch
from tests.support.origin import Origin
from tests.support.proxy import Proxy, cli, reverse
from tests.support.wait import until


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def proxy(origin: Origin) -> Iterator[Proxy]:
    with Proxy(reverse([origin.address])) as proxy:
        yield proxy


def test_the_socket_is_the_owners_alone(proxy: Proxy) -> None:
    mode = (proxy.folder / "control.sock").stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


def test_status_counts(proxy: Proxy, origin: Origin) -> None:
    for _ in range(5):
        fetch(proxy.port, "/counted")

    def route() -> dict[str, int]:
        return dict(proxy.status()["metrics"]["routes"].get("all", {}))

    until(lambda: route().get("requests", 0) >= 5, "the counters")
    status = proxy.status()
    assert status["epoch"] >= 1
    assert [row["name"] for row in status["listeners"]] == ["web"]
    assert status["metrics"]["servers"][f"all/{origin.address}"]["requests"] >= 5


def test_status_for_people(proxy: Proxy) -> None:
    done = proxy.cli("status")
    assert done.returncode == 0
    assert "web" in done.stdout
    assert str(proxy.port) in done.stdout


def test_status_holds_a_histogram(proxy: Proxy) -> None:
    fetch(proxy.port, "/timed")
    text = json.dumps(proxy.status())
    for quantile in ("p50", "p90", "p99"):
        assert quantile in text


@pytest.mark.parametrize("how", ["--config", "--socket"])
def test_found_from_elsewhere(proxy: Proxy, how: str, tmp_path: object) -> None:
    target = proxy.path if how == "--config" else proxy.folder / "control.sock"
    done = cli("status", how, target, "--json", cwd=None)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["pid"] == proxy.pid


def test_reload_as_json(proxy: Proxy) -> None:
    done = proxy.cli("reload", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["ok"] is True


def test_nothing_runs_here(proxy: Proxy) -> None:
    for command in ("status", "reload", "stop"):
        done = cli(command, "--socket", proxy.folder / "nothing.sock")
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_a_second_proxy_on_the_same_socket_is_refused(proxy: Proxy, origin: Origin) -> None:
    second = Proxy({**reverse([origin.address]), "control": {"socket": str(proxy.folder / "control.sock")}}, wait=False)
    try:
        assert second.wait() == 1
        assert "control.sock" in second.stderr
        assert "Traceback" not in second.stderr
    finally:
        second.kill()
    assert proxy.status()["pid"] == proxy.pid


def test_a_stale_socket_is_replaced(origin: Origin) -> None:
    with Proxy(reverse([origin.address])) as first:
        config = {
            **first.config,
            **reverse([origin.address]),
            "control": {"socket": str(first.folder / "control.sock")},
        }
        first.process.kill()
        first.process.wait()
        assert (first.folder / "control.sock").exists(), "killed, it could not clean up"
        with Proxy(config) as second:
            assert second.status()["pid"] == second.pid
        first.process.returncode = 0


def test_the_socket_is_gone_after_the_end(origin: Origin) -> None:
    with Proxy(reverse([origin.address])) as proxy:
        assert (proxy.folder / "control.sock").exists()
        assert proxy.cli("stop").returncode == 0
        assert not (proxy.folder / "control.sock").exists()
        assert proxy.wait() == 0


def test_the_default_socket_is_private_too(origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> None:
    runtime = tmp_path_factory.mktemp("run")
    env = {"XDG_RUNTIME_DIR": str(runtime)}
    config = reverse([origin.address])
    config["control"] = {}
    with Proxy(config, env=env) as proxy:
        done = cli("status", "--json", cwd=proxy.folder, env=env)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["pid"] == proxy.pid
        [found] = [path for path in runtime.rglob("*") if path.is_socket()]
        assert stat.S_IMODE(found.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "data", [b"\n", b"nonsense\n", b"{}\n", b"[" * 10_000 + b"\n", b"\xff\n", b'{"command": 7}\n', b"x" * 5_000_000]
)
def test_nonsense_on_the_socket_hurts_nobody(proxy: Proxy, data: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(15)
        client.connect(str(proxy.folder / "control.sock"))
        try:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            while client.recv(65_536):
                pass
        except OSError:
            pass
    assert proxy.status()["pid"] == proxy.pid
    assert "Traceback" not in proxy.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be somebody else")
def test_other_users_are_kept_out(proxy: Proxy) -> None:
    path = proxy.folder / "control.sock"
    code = "import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])"
    done = subprocess.run(["python3", "-c", code, str(path)], user=65534, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "Permission" in done.stderr


def test_descriptors_are_raised_to_the_hard_limit_and_reported(proxy: Proxy) -> None:
    with Path(f"/proc/{proxy.pid}/limits").open() as limits:
        line = next(line for line in limits if line.startswith("Max open files"))
    soft, hard = line.split()[3:5]
    assert soft == hard
    assert proxy.status()["open_files"] == int(soft)
    assert soft in proxy.stderr, "said at the start"
