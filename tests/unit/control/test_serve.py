"""A whole proxy process on the engine's stand-in: signals, commands, file changes, systemd, root."""

import json
import os
import pwd
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from reviver.control import client, protocol
from reviver.errors import OperationError
from tests.support.wait import until

ROOT = Path(__file__).resolve().parents[3]
CONFIGURATION = """
listeners:
  web: {bind: "127.0.0.1:18080", role: reverse}
reverse:
  routes:
    - {name: all, match: {path: "/*"}, pool: a}
  pools:
    a: {servers: ["127.0.0.1:1"]}
timeout: {drain: 7s}
control: {socket: c.sock}
logs: []
"""


class Process:
    """`reviver run r.yaml` on the stand-in, in a folder of its own."""

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        command: Sequence[str] = ("run", "r.yaml"),
        **wishes: Any,
    ) -> None:
        self.folder = folder
        self.socket = folder / "c.sock"
        self.file = folder / "r.yaml"
        if not self.file.exists():
            self.file.write_text(CONFIGURATION)
        search = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.fake_engine", *command, *arguments],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": search, "FAKE_ENGINE": json.dumps(wishes), **(env or {})},
                stdout=out,
                stderr=err,
            )

    @property
    def calls(self) -> list[str]:
        return (self.folder / "out").read_text().splitlines()

    @property
    def said(self) -> str:
        return (self.folder / "err").read_text()

    def wait_said(self, text: str, times: int = 1) -> None:
        def there() -> bool:
            assert self.process.poll() is None or self.said.count(text) >= times, self.said
            return self.said.count(text) >= times

        until(there, f"{text!r} in {self.said!r}")

    def wait(self) -> int:
        return self.process.wait(30)


@contextmanager
def running(folder: Path, *arguments: str, **more: Any) -> Iterator[Process]:
    """Serving when entered; checked to be gone without a traceback when left."""
    proxy = Process(folder, *arguments, **more)
    try:
        proxy.wait_said("serves r.yaml")
        yield proxy
        if proxy.process.poll() is None:
            proxy.process.terminate()
        assert proxy.wait() == 0
        assert "Traceback" not in proxy.said
        assert "internal error" not in proxy.said
        assert "Warning" not in proxy.said
    finally:
        proxy.process.kill()
        proxy.process.wait()


def test_the_start_says_where_it_serves(tmp_path: Path) -> None:
    with running(tmp_path) as proxy:
        assert "reviver: web: reverse on 127.0.0.1:18080\n" in proxy.said
        assert f"control socket {proxy.socket}" in proxy.said
        assert "open files" in proxy.said
        assert stat.S_IMODE(proxy.socket.stat().st_mode) == 0o600
    assert not proxy.socket.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_ends(tmp_path: Path, number: signal.Signals) -> None:
    with running(tmp_path) as proxy:
        proxy.process.send_signal(number)
        assert proxy.wait() == 0
        assert proxy.calls[-2:] == ["drain 7", "stop"]
        assert proxy.said.endswith("reviver: stopped\n")


def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    with running(tmp_path, drains=False) as proxy:
        proxy.process.terminate()
        proxy.wait_said("draining for up to 7 s")
        proxy.process.terminate()
        assert proxy.wait() == 0
        assert proxy.calls[-1] == "stop"
        assert proxy.said.endswith("reviver: stopped; some connections were cut off\n")


def test_a_signal_during_the_start_is_not_lost(tmp_path: Path) -> None:
    proxy = Process(tmp_path)
    until(lambda: any(call.startswith("bind") for call in proxy.calls), "the listeners to be bound")
    proxy.process.terminate()
    assert proxy.wait() == 0
    assert proxy.calls[-1] == "stop"


def test_hangup_reloads(tmp_path: Path) -> None:
    with running(tmp_path) as proxy:
        proxy.process.send_signal(signal.SIGHUP)
        proxy.wait_said("nothing has changed: epoch 1")
        proxy.file.write_text(CONFIGURATION.replace("127.0.0.1:1", "127.0.0.1:2"))
        proxy.process.send_signal(signal.SIGHUP)
        proxy.wait_said("reloaded: epoch 2")


def test_a_broken_configuration_changes_nothing_and_says_all(tmp_path: Path) -> None:
    with running(tmp_path) as proxy:
        proxy.file.write_text(CONFIGURATION.replace("pool: a", "pool: b").replace("drain: 7s", "drain: soon"))
        proxy.process.send_signal(signal.SIGHUP)
        proxy.wait_said("the running configuration goes on")
        assert "r.yaml:6:" in proxy.said
        assert "r.yaml:9:" in proxy.said
        assert "apply" not in proxy.calls
        with pytest.raises(client.RefusedError) as raised:
            client.ask(proxy.socket, "reload")
        assert len(raised.value.diagnostics) == 2
        status = client.ask(proxy.socket, "status")
        assert status["epoch"] == 1
        assert status["last_reload"]["ok"] is False


def test_a_plan_that_the_engine_refuses_changes_nothing(tmp_path: Path) -> None:
    with running(tmp_path, refuse_apply="127.0.0.1:80: permission denied") as proxy:
        with pytest.raises(OperationError, match="127.0.0.1:80: permission denied"):
            client.ask(proxy.socket, "reload")
        assert client.ask(proxy.socket, "status")["epoch"] == 1


def test_keys_that_need_a_restart_are_named(tmp_path: Path) -> None:
    with running(tmp_path) as proxy:
        proxy.file.write_text(CONFIGURATION.replace("c.sock", "d.sock"))
        done = client.ask(proxy.socket, "reload")
        assert done["notes"] == ["control.socket has changed and takes effect at the next start"]


def test_logs_are_reopened(tmp_path: Path) -> None:
    with running(tmp_path) as proxy:
        proxy.process.send_signal(signal.SIGUSR1)
        proxy.wait_said("log files were opened anew")
        assert proxy.calls[-1] == "reopen_logs"


def test_stop_waits_until_the_process_is_gone(tmp_path: Path) -> None:
    with running(tmp_path) as proxy:
        progress: list[dict[str, Any]] = []
        done = client.ask(proxy.socket, "stop", on_progress=progress.append, until_down=True)
        # The process is a zombie at most: its parent is this test.
        assert proxy.process.poll() == 0
        assert done == {"complete": True}
        assert progress[0]["connections"] == 3


def test_status_tells_of_the_process_and_the_engine(tmp_path: Path) -> None:
    with running(tmp_path) as proxy:
        status = client.ask(proxy.socket, "status")
        assert status["pid"] == proxy.process.pid
        assert status["configuration"] == "r.yaml"
        assert status["listeners"][0]["name"] == "web"
        assert status["draining"] is False


def test_many_ask_at_the_same_time(tmp_path: Path) -> None:
    with running(tmp_path) as proxy:
        sockets = [socket.socket(socket.AF_UNIX) for _ in range(50)]
        for connection in sockets:
            connection.connect(str(proxy.socket))
        for connection in reversed(sockets):
            connection.sendall(protocol.encode(command="ping"))
            with connection.makefile("rb") as lines:
                assert "result" in protocol.decode(lines.readline())
            connection.close()


def test_the_same_configuration_runs_once(tmp_path: Path) -> None:
    with running(tmp_path) as proxy:
        second = Process(tmp_path)
        assert second.wait() == 1
        assert second.said == f"error: already running: a proxy answers at {proxy.socket}\n"
        assert second.calls == []
        assert client.ask(proxy.socket, "ping")
        (tmp_path / "err").write_text("")


def test_a_port_in_use_is_one_line_and_leaves_nothing_behind(tmp_path: Path) -> None:
    proxy = Process(tmp_path, refuse_bind="cannot listen on 127.0.0.1:18080: address in use")
    assert proxy.wait() == 1
    assert proxy.said == "error: cannot listen on 127.0.0.1:18080: address in use\n"
    assert not proxy.socket.exists()


def test_watching_follows_the_file_and_what_it_names(tmp_path: Path) -> None:
    users = tmp_path / "users"
    users.write_text("ann:{SHA}fEqNCco3Yq9h5ZUglD3CZJT4lBs=\n")
    (tmp_path / "r.yaml").write_text(
        "listeners: {office: {bind: '127.0.0.1:18081', role: forward}}\n"
        "forward: {auth: {basic: users}}\ncontrol: {socket: c.sock}\nlogs: []\n"
    )
    with running(tmp_path, "--watch") as proxy:
        users.write_text("bob:{SHA}fEqNCco3Yq9h5ZUglD3CZJT4lBs=\n")
        proxy.wait_said("reloaded: epoch 2")
        # An editor replaces the file; the first state that is whole is taken.
        part = tmp_path / "part"
        part.write_text(proxy.file.read_text().replace("18081", "18082"))
        part.replace(proxy.file)
        proxy.wait_said("reloaded: epoch 3")


def test_systemd_is_told_of_each_state(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"}
        with running(tmp_path, env=env) as proxy:

            def told() -> str:
                while (message := manager.recv(4096).decode()) == "WATCHDOG=1":
                    pass
                return message

            assert told() == "READY=1\nSTATUS=serving r.yaml on 1 listener"
            assert manager.recv(4096) == b"WATCHDOG=1"
            proxy.process.send_signal(signal.SIGHUP)
            assert told().startswith("RELOADING=1\nMONOTONIC_USEC=")
            assert told().startswith("READY=1\n")
            proxy.process.terminate()
            assert told().startswith("STOPPING=1\n")
            assert proxy.wait() == 0


def test_sockets_of_a_manager_reach_the_engine_by_their_address(tmp_path: Path) -> None:
    """systemd's part is played by a shell: descriptor 3 listens, LISTEN_PID is the process that is executed."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        (tmp_path / "r.yaml").write_text(CONFIGURATION)
        search = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        script = (
            f"exec 3<&{listener.fileno()}; export LISTEN_FDS=1 LISTEN_FDNAMES=web LISTEN_PID=$$; "
            f"exec {sys.executable} -m tests.support.fake_engine run r.yaml"
        )
        process = subprocess.Popen(
            ["/bin/bash", "-c", script],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": search},
            pass_fds=[listener.fileno()],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert f"inherited ['{address}']" in process.stdout.readline()
        process.terminate()
        _, said = process.communicate(timeout=30)
        assert process.returncode == 0
        assert f"inherited socket {address} (web) belongs to no listener" in said


def test_what_the_engine_says_at_the_very_end_is_told(tmp_path: Path) -> None:
    with running(tmp_path, last_warning="log a: 3 records could not be written before it was closed") as proxy:
        proxy.process.terminate()
        assert proxy.wait() == 0
        assert proxy.said.endswith(
            "reviver: log a: 3 records could not be written before it was closed\nreviver: stopped\n"
        )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_the_default_socket_is_removed_also_after_root_was_given_up(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
    (tmp_path / "r.yaml").write_text(CONFIGURATION.replace("control: {socket: c.sock}", "user: nobody"))
    runtime = tmp_path / "run"
    # The second start finds the folder that the first one gave away.
    for _ in range(2):
        with running(tmp_path, env={"RUNTIME_DIRECTORY": str(runtime)}):
            [path] = runtime.glob("*/*")
            assert client.ask(path, "status")["user"].startswith("nobody:")
        assert not list(runtime.glob("*/*"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_root_is_given_up_between_binding_and_serving(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
    (tmp_path / "a.log").touch()
    text = CONFIGURATION.replace("logs: []", "logs: [{to: 'file:a.log'}]\nuser: nobody")
    (tmp_path / "r.yaml").write_text(text)
    nobody = pwd.getpwnam("nobody")
    tmp_path.chmod(0o755)
    with running(tmp_path, "--watch") as proxy:
        assert proxy.calls[0].startswith("bind as 0,")
        assert proxy.calls[1] == f"start as {nobody.pw_uid}"
        assert "as nobody:" in proxy.said
        assert proxy.socket.stat().st_uid == nobody.pw_uid
        assert (tmp_path / "a.log").stat().st_uid == nobody.pw_uid
        assert client.ask(proxy.socket, "status")["user"].startswith("nobody:")
        for task in Path(f"/proc/{proxy.process.pid}/task").iterdir():
            assert f"Uid:\t{nobody.pw_uid}\t{nobody.pw_uid}" in (task / "status").read_text()
        # All goes on although this user may not be able to read where Python is installed.
        proxy.process.send_signal(signal.SIGUSR1)
        proxy.wait_said("log files were opened anew")
        proxy.file.write_text(text.replace("pool: a", "poool: b").replace("7s", "soon") + "x: ${NOTHING}\n")
        proxy.wait_said("the running configuration goes on")
        assert "did you mean" in proxy.said
        proxy.file.write_text(text.replace("127.0.0.1:1", "127.0.0.1:2"))
        proxy.wait_said("reloaded: epoch 2")
        assert client.ask(proxy.socket, "stop", until_down=True) == {"complete": True}
        assert "No module named" not in proxy.said


def _cached(text: str) -> str:
    return (
        text.replace("pool: a}", "pool: a, cache: true}") + "user: nobody\ncache: {disk: {path: store, size: 1GiB}}\n"
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_the_cache_on_disk_is_opened_by_its_user(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(_cached(CONFIGURATION))
    # what root has stored there at an earlier start
    (tmp_path / "store").mkdir(mode=0o700)
    for name in ("lock", "segment-0", "segment-0.index", "object-12"):
        (tmp_path / "store" / name).touch()
    nobody = pwd.getpwnam("nobody")
    with running(tmp_path) as proxy:
        first, second, third = proxy.calls[:3]
        assert first.startswith("bind as 0,")
        assert (second, third) == ("apply", f"start as {nobody.pw_uid}")
    store = [tmp_path / "store", *(tmp_path / "store").iterdir()]
    assert {path.stat().st_uid for path in store} == {nobody.pw_uid}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize(("inside", "owner"), [(None, "nobody"), ("letters.txt", "root")])
def test_a_folder_that_is_not_the_caches_alone_stays_roots(tmp_path: Path, inside: str | None, owner: str) -> None:
    (tmp_path / "r.yaml").write_text(_cached(CONFIGURATION))
    if inside is not None:
        (tmp_path / "store").mkdir()
        (tmp_path / "store" / inside).touch()
    with running(tmp_path):
        assert (tmp_path / "store").owner() == owner


@pytest.mark.skipif(os.geteuid() != 0, reason="the configuration is written for root")
def test_an_unknown_user_is_an_error_before_anything_is_bound(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(CONFIGURATION + "user: nobody-at-all\n")
    proxy = Process(tmp_path)
    assert proxy.wait() == 1
    assert proxy.said == "error: user: there is no user 'nobody-at-all' on this machine\n"
    assert proxy.calls == []
