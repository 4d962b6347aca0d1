"""Where the log goes: files that are rotated and reopened, syslog, and targets that fail."""

import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import Client, fetch
from tests.support.origin import Origin
from tests.support.proxy import Proxy, reverse
from tests.support.stream import Stream
from tests.support.wait import until


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


def test_a_log_file_is_not_for_everybody(origin: Origin) -> None:
    with Proxy(reverse([origin.address])) as proxy:
        fetch(proxy.port, "/")
        proxy.wait_records(lambda record: True)
        assert (proxy.folder / "access.log").stat().st_mode & 0o007 == 0


def test_sigusr1_reopens(origin: Origin) -> None:
    with Proxy(reverse([origin.address])) as proxy:
        fetch(proxy.port, "/before")
        proxy.wait_records(lambda record: record.get("path") == "/before")
        (proxy.folder / "access.log").rename(proxy.folder / "access.log.moved")
        proxy.signal(signal.SIGUSR1)
        until(lambda: (proxy.folder / "access.log").exists(), "the new file")
        fetch(proxy.port, "/after")
        assert [record["path"] for record in proxy.wait_records(lambda record: True)] == ["/after"]
        assert [record["path"] for record in proxy.records("access.log.moved")] == ["/before"]


def test_nothing_is_lost_when_reopened_under_load(origin: Origin) -> None:
    with Proxy(reverse([origin.address])) as proxy, Client(proxy.port) as client:
        for i in range(300):
            assert client.ask("GET", f"/{i}").status == 200
            if i % 100 == 50:
                (proxy.folder / "access.log").rename(proxy.folder / f"moved.{i}")
                proxy.signal(signal.SIGUSR1)
                until(lambda: (proxy.folder / "access.log").exists(), "the new file")
        files = ["access.log", *(f"moved.{i}" for i in (50, 150, 250))]

        def paths() -> list[str]:
            return [record["path"] for name in files for record in proxy.records(name)]

        until(lambda: len(paths()) >= 300, "all records")
        assert sorted(paths()) == sorted(f"/{i}" for i in range(300))


def test_rotation_by_size_keeps_the_newest(origin: Origin) -> None:
    logs = [{"to": "file:access.log", "format": "json", "rotate": {"size": "20KiB", "keep": 2}}]
    with Proxy(reverse([origin.address], logs=logs)) as proxy, Client(proxy.port) as client:
        for i in range(300):
            assert client.ask("GET", f"/{i}").status == 200
        until(lambda: any(record["path"] == "/299" for record in proxy.records()), "the last record")
        names = sorted(path.name for path in proxy.folder.glob("access.log*"))
        assert names == ["access.log", "access.log.1", "access.log.2"]
        for name in names:
            assert (proxy.folder / name).stat().st_size <= 20 * 1024
        order = [int(record["path"][1:]) for name in reversed(names) for record in proxy.records(name)]
        assert order == list(range(order[0], 300)), "in order, without a gap, across the files"


SYSLOG = re.compile(r"<(\d+)>1 (\S+) (\S+) (\S+) (\S+) (\S+) (-|\[.*?\]) (.*)", re.DOTALL)


def test_syslog_over_udp(origin: Origin) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(15)
        logs = [{"to": f"syslog:127.0.0.1:{server.getsockname()[1]}", "format": "json"}]
        with Proxy(reverse([origin.address], logs=logs)) as proxy:
            fetch(proxy.port, "/syslog")
            found = SYSLOG.fullmatch(server.recv(65_536).decode().rstrip("\n"))
    assert found, "RFC 5424"
    assert 0 <= int(found[1]) <= 191
    assert json.loads(found[8].lstrip("\ufeff"))["path"] == "/syslog"


def test_syslog_over_tcp_comes_back_after_a_break(origin: Origin) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(15)
        logs = [{"to": f"syslog+tcp:127.0.0.1:{server.getsockname()[1]}", "format": "json"}]
        with Proxy(reverse([origin.address], logs=logs)) as proxy:
            fetch(proxy.port, "/one")
            with Stream(server.accept()[0]) as stream:
                assert counted(stream)["path"] == "/one"
            found: list[str] = []

            def asks_and_listens() -> bool:
                fetch(proxy.port, "/two")
                server.settimeout(0.2)
                try:
                    sock, _ = server.accept()
                except TimeoutError:
                    return False
                with Stream(sock) as stream:
                    found.append(counted(stream)["path"])
                return True

            until(asks_and_listens, "a new connection")
            assert found == ["/two"]


def counted(stream: Stream) -> dict[str, str]:
    """One message framed by octet counting (RFC 6587, section 3.4.1)."""
    size = int(stream.read_until(b" "))
    found = SYSLOG.fullmatch(stream.read_exactly(size).decode())
    assert found
    return dict(json.loads(found[8].lstrip("\ufeff")))


def test_syslog_over_a_unix_socket(origin: Origin) -> None:
    config = reverse([origin.address])
    proxy_path = f"/tmp/rv-syslog-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(proxy_path)
        try:
            server.settimeout(15)
            with Proxy({**config, "logs": [{"to": f"syslog+unix:{proxy_path}", "format": "json"}]}) as proxy:
                fetch(proxy.port, "/unix")
                assert b"/unix" in server.recv(65_536)
        finally:
            Path(proxy_path).unlink()


needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")


@needs_full
def test_a_full_disk_with_drop_keeps_serving_and_says_so(origin: Origin) -> None:
    logs = [{"to": "file:/dev/full", "format": "json", "on_full": "drop"}, {"to": "file:access.log", "format": "json"}]
    with Proxy(reverse([origin.address], logs=logs)) as proxy:
        with Client(proxy.port) as client:
            for i in range(1000):
                assert client.ask("GET", f"/full/{i}").status == 200
        until(lambda: "/dev/full" in proxy.stderr, "a warning that names the log")
        proxy.wait_records(lambda record: True, 1000)
        assert proxy.stderr.count("/dev/full") < 20, "said once, not for every record"
        sinks = {sink["to"]: sink for sink in proxy.status()["logs"]}
        full = next(sink for to, sink in sinks.items() if "/dev/full" in to)
        assert full["failing"]
        assert full["dropped"] > 0


@needs_full
def test_a_full_disk_with_wait_recovers_without_loss(origin: Origin) -> None:
    """`wait` holds records back while the target fails; when it works again nothing is missing."""
    logs = [{"to": "file:access.log", "format": "json", "on_full": "wait"}]
    with Proxy(reverse([origin.address], logs=logs)) as proxy:
        path = proxy.folder / "access.log"
        until(path.exists, "the log file")
        path.unlink()
        path.symlink_to("/dev/full")
        proxy.signal(signal.SIGUSR1)
        for i in range(50):
            assert fetch(proxy.port, f"/held/{i}").status == 200, "the ring has room for these"
        until(lambda: "access.log" in proxy.stderr and "space" in proxy.stderr.lower(), "a warning")
        path.unlink()
        proxy.signal(signal.SIGUSR1)
        records = proxy.wait_records(lambda record: record["path"].startswith("/held/"), 50)
        assert len(records) == 50


def test_a_closed_stdout_does_not_end_the_program(origin: Origin) -> None:
    reading, writing = os.pipe()
    logs = [{"to": "stdout", "format": "json", "on_full": "drop"}, {"to": "file:access.log", "format": "json"}]
    with Proxy(reverse([origin.address], logs=logs), stdout=writing) as proxy:
        os.close(writing)
        os.close(reading)
        for i in range(50):
            assert fetch(proxy.port, f"/{i}").status == 200
        proxy.wait_records(lambda record: True, 50)
        until(lambda: "stdout" in proxy.stderr, "a warning that names stdout")


def test_a_reader_that_stops_holds_requests_back_but_loses_none(origin: Origin) -> None:
    """A pipe that nobody reads is full after 64 KiB; with `wait`, what follows waits in order."""
    reading, writing = os.pipe()
    logs = [{"to": "stdout", "format": "json", "on_full": "wait"}]
    with Proxy(reverse([origin.address], logs=logs), stdout=writing) as proxy:
        os.close(writing)
        with Client(proxy.port) as client:
            for i in range(400):
                assert client.ask("GET", f"/{i}").status == 200
        with os.fdopen(reading, encoding="utf-8") as lines:
            paths = [json.loads(next(lines))["path"] for _ in range(400)]
            assert paths == [f"/{i}" for i in range(400)]
            proxy.stop()
