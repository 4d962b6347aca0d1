"""Sockets handed over by a service manager."""

import os
import socket
from collections.abc import Iterator

import pytest

from reviver.control import activation


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A listening socket that stands where systemd's first one would."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(activation, "FIRST", server.fileno())
        yield server


def _environment(count: int = 1, names: str = "web", pid: int | None = None) -> dict[str, str]:
    return {"LISTEN_PID": str(pid or os.getpid()), "LISTEN_FDS": str(count), "LISTEN_FDNAMES": names}


def test_a_listening_socket_is_known_by_its_address(listener: socket.socket) -> None:
    environ = _environment()
    found, unusable = activation.inherited(environ)
    port = listener.getsockname()[1]
    assert found == [activation.Inherited(f"127.0.0.1:{port}", listener.fileno(), "web")]
    assert unusable == []
    assert environ == {}
    assert not os.get_inheritable(listener.fileno())


def test_ipv6_addresses_stand_in_brackets(monkeypatch: pytest.MonkeyPatch, ipv6: None) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        monkeypatch.setattr(activation, "FIRST", server.fileno())
        found, _ = activation.inherited(_environment())
        assert found[0].address == f"[::1]:{server.getsockname()[1]}"


def test_another_process_is_meant(listener: socket.socket) -> None:
    assert activation.inherited(_environment(pid=1)) == ([], [])
    assert activation.inherited({}) == ([], [])


def test_what_does_not_listen_is_named_and_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = socket.socket()
    descriptor = plain.detach()
    monkeypatch.setattr(activation, "FIRST", descriptor)
    found, unusable = activation.inherited(_environment(names="odd"))
    assert found == []
    assert unusable == [f"inherited descriptor {descriptor} (odd) is not a listening TCP socket"]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_what_is_no_socket_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    try:
        monkeypatch.setattr(activation, "FIRST", reading)
        found, unusable = activation.inherited(_environment(names=""))
        assert found == []
        assert f"descriptor {reading} (unnamed) is of no use" in unusable[0]
    finally:
        os.close(reading)
        os.close(writing)
