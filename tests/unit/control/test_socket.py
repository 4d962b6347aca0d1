"""The control socket from both ends."""

import asyncio
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from reviver.control import client, privileges, protocol, server
from reviver.errors import ConfigurationError, Diagnostic, OperationError


async def _pong(_: Mapping[str, Any], progress: server.Progress) -> dict[str, Any]:
    return {"version": "x"}


async def _slow_stop(_: Mapping[str, Any], progress: server.Progress) -> dict[str, Any]:
    await progress({"seconds": 0, "connections": 2})
    await progress({"seconds": 1, "connections": 1})
    return {"complete": True}


async def _bad_reload(_: Mapping[str, Any], progress: server.Progress) -> dict[str, Any]:
    raise ConfigurationError([Diagnostic("r.yaml", 3, 5, "workers", "must be a number", "write 2")])


async def _failing_status(_: Mapping[str, Any], progress: server.Progress) -> dict[str, Any]:
    raise OperationError("the engine does not answer")


async def _broken_renew(_: Mapping[str, Any], progress: server.Progress) -> dict[str, Any]:
    raise ValueError("not thought of")


HANDLERS = {
    "ping": _pong,
    "stop": _slow_stop,
    "reload": _bad_reload,
    "status": _failing_status,
    "renew": _broken_renew,
}


@contextmanager
def running(path: Path, handlers: Mapping[str, server.Handler] = HANDLERS) -> Iterator[None]:
    """A control server on its own event loop."""
    listener = server.bind(path)
    loop = asyncio.new_event_loop()
    control = server.ControlServer(listener, handlers)
    loop.run_until_complete(control.start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(control.finish(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        listener.close()
        server.remove(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "c.sock"


def test_a_question_is_answered(path: Path) -> None:
    with running(path):
        assert client.ask(path, "ping") == {"version": "x"}
    assert not path.exists()


def test_only_the_owner_can_connect(path: Path) -> None:
    previous = os.umask(0)
    try:
        with running(path):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        os.umask(previous)


def test_progress_comes_before_the_result(path: Path) -> None:
    seen: list[dict[str, Any]] = []
    with running(path):
        assert client.ask(path, "stop", on_progress=seen.append) == {"complete": True}
    assert [item["connections"] for item in seen] == [2, 1]


def test_diagnostics_come_through_whole(path: Path) -> None:
    with running(path), pytest.raises(client.RefusedError) as raised:
        client.ask(path, "reload")
    assert raised.value.diagnostics == [Diagnostic("r.yaml", 3, 5, "workers", "must be a number", "write 2")]
    assert "nothing was changed" in str(raised.value)


def test_a_failure_comes_through_as_its_sentence(path: Path) -> None:
    with running(path), pytest.raises(OperationError, match="the engine does not answer"):
        client.ask(path, "status")


def test_what_nobody_thought_of_is_answered_too(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with running(path):
        with pytest.raises(client.RefusedError, match="^internal error: ValueError: not thought of$"):
            client.ask(path, "renew")
        assert client.ask(path, "ping")
    assert "not thought of" in caplog.text, "and is found in the journal"


@pytest.mark.parametrize(
    ("request_line", "sentence"),
    [
        (b"nonsense\n", "not a line of JSON"),
        (b'{"reviver":9,"command":"ping"}\n', "version 9"),
        (protocol.encode(command="restart"), "unknown command"),
        (b"x" * (protocol.REQUEST_LIMIT + 10) + b"\n", "at most"),
    ],
)
def test_other_requests_are_refused_and_the_server_goes_on(path: Path, request_line: bytes, sentence: str) -> None:
    with running(path):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(path))
            connection.sendall(request_line)
            with connection.makefile("rb") as lines:
                assert sentence in protocol.decode(lines.readline())["error"]
        assert client.ask(path, "ping")


def test_a_client_that_goes_away_harms_nobody(path: Path) -> None:
    with running(path):
        for beginning in (b"", b'{"reviver"'):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(path))
                connection.sendall(beginning)
        assert client.ask(path, "ping")


def test_a_socket_left_behind_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert path.is_socket()
    with running(path):
        assert client.ask(path, "ping")


def test_the_dead_are_told_from_the_living(path: Path) -> None:
    assert not client.may_be_alive(path)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert not client.may_be_alive(path)
    with running(path):
        assert client.may_be_alive(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_who_has_given_up_root_can_remove_the_socket_of_its_own_folder(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
    path = tmp_path / "own" / "control.sock"
    identity = privileges.identity("nobody", None)
    assert identity is not None
    for _ in range(2):
        server.bind(path, own_folder=True).close()
        assert path.parent.stat().st_uid == 0
        privileges.hand_over([path, path.parent], identity)
    assert _as_user(identity.uid, lambda: server.remove(path)) == 0
    assert not path.exists()


def test_a_living_proxy_keeps_its_socket(path: Path) -> None:
    with running(path):
        with pytest.raises(OperationError, match="already running"):
            server.bind(path)
        assert client.ask(path, "ping")


def test_a_file_in_the_sockets_place_is_left_alone(path: Path) -> None:
    path.write_text("mine")
    with pytest.raises(OperationError, match=str(path)):
        server.bind(path)
    assert path.read_text() == "mine"


def test_the_folder_is_made_where_there_is_none(tmp_path: Path) -> None:
    path = tmp_path / "run" / "deep" / "c.sock"
    with running(path):
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert client.ask(path, "ping")


def test_nobody_there_is_one_sentence(path: Path) -> None:
    with pytest.raises(OperationError, match="no proxy is running at"):
        client.ask(path, "ping")


def _as_user(uid: int, work: Callable[[], None]) -> int:
    """Runs `work` in a child that is somebody else; its exit code."""
    pid = os.fork()
    if pid == 0:
        code = 3
        try:
            os.setresuid(uid, uid, uid)
            work()
            code = 0
        except OperationError as error:
            code = 7 if "only its owner and root" in str(error) else 4
        except client.RefusedError:
            code = 5
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_other_users_are_refused_by_the_file_and_by_the_server(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
    path = tmp_path / "c.sock"
    with running(path):
        assert _as_user(65534, lambda: (client.ask(path, "ping"), None)[1]) == 7
        # Even with a mode that lets anybody connect, the kernel tells the server who it is.
        path.chmod(0o666)
        assert _as_user(65534, lambda: _expect_refusal(path)) == 0
        assert client.ask(path, "ping")


def _expect_refusal(path: Path) -> None:
    try:
        client.ask(path, "ping")
    except client.RefusedError as error:
        assert "only the proxy's own user and root" in str(error)  # noqa: PT017
        return
    raise AssertionError("somebody else was answered")
