"""New certificates, new configurations and the end, while clients are talking over TLS and HTTP/2."""

import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import fetch
from tests.support.http2 import Http2Client, fetch2
from tests.support.origin import Exchange, Origin
from tests.support.proxy import Proxy, free_port, listens, reverse
from tests.support.stream import Closed
from tests.support.tls import Leaf, TlsClient, authority, client_context, tls_listener
from tests.support.wait import Together, until, wait_for

OLD, NEW = authority().leaf("test.example"), authority().leaf("test.example")


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture
def leaf(tmp_path: Path) -> Leaf:
    """Files that can be replaced."""
    tmp_path.chmod(0o755)
    return put(OLD, Leaf(tmp_path / "site.pem", tmp_path / "site.key"))


def put(source: Leaf, target: Leaf) -> Leaf:
    """Replaces both files, each in one step, as clients of certificate authorities do."""
    for old, new in ((source.key, target.key), (source.certificate, target.certificate)):
        part = new.with_suffix(".part")
        shutil.copyfile(old, part)
        part.replace(new)
    return target


class Held:
    """A handler that answers when it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def __call__(self, exchange: Exchange) -> None:
        wait_for(self.go, "the test's leave", 60)
        exchange.respond(200, b"finished")


def shown(proxy: Proxy) -> bytes:
    with TlsClient(proxy.port) as client:
        return client.peer


@pytest.mark.parametrize("how", ["command", "signal", "watching"])
def test_a_renewed_certificate(origin: Origin, leaf: Leaf, how: str) -> None:
    """The configuration's own text has not changed."""
    config = reverse([origin.address], listener=tls_listener(leaf))
    with Proxy(config, arguments=["--watch"] if how == "watching" else []) as proxy:
        until(proxy.status, "a running proxy")
        with TlsClient(proxy.port) as one, Http2Client(proxy.port) as two:
            assert one.peer == OLD.der
            assert one.ask("GET", "/before").status == two.ask("GET", "/before").status == 200
            put(NEW, leaf)
            if how == "command":
                assert proxy.cli("reload").returncode == 0
                assert shown(proxy) == NEW.der, "in force when the command has answered"
            elif how == "signal":
                proxy.signal(signal.SIGHUP)
            until(lambda: shown(proxy) == NEW.der, "the new certificate")
            assert one.ask("GET", "/after").status == two.ask("GET", "/after").status == 200
        assert len({request.connection for request in origin.seen("/after")}) >= 1


def test_a_certificate_that_is_broken_changes_nothing(origin: Origin, leaf: Leaf) -> None:
    with Proxy(reverse([origin.address], listener=tls_listener(leaf))) as proxy:
        shutil.copyfile(NEW.key, leaf.key)
        done = proxy.cli("reload")
        assert done.returncode == 2
        text = done.stdout + done.stderr
        assert "site.key" in text or "site.pem" in text, text
        assert shown(proxy) == OLD.der
        leaf.key.unlink()
        assert proxy.cli("reload").returncode == 2
        assert shown(proxy) == OLD.der


def test_a_listener_that_goes_says_goaway(origin: Origin) -> None:
    held = Held()
    origin.on("/leaving", held)
    config = reverse([origin.address], listener=tls_listener())
    port = free_port()
    config["listeners"]["more"] = {"bind": f"127.0.0.1:{port}", "role": "reverse", **tls_listener()}
    with Proxy(config) as proxy, Http2Client(port) as client:
        stream = client.request("GET", "/leaving")
        origin.wait_for("/leaving")
        del proxy.config["listeners"]["more"]
        assert proxy.reload().returncode == 0
        assert client.wait_goaway()[0] == 0
        held.go.set()
        assert client.response(stream).text == "finished"
        client.expect_closed()
        assert fetch2(proxy.port, "/stays").status == 200


def test_tls_is_turned_on_and_off(origin: Origin, leaf: Leaf) -> None:
    with Proxy(reverse([origin.address])) as proxy:
        assert fetch(proxy.port, "/plain").status == 200
        proxy.config["listeners"]["web"].update(tls_listener(leaf))
        assert proxy.reload().returncode == 0
        with TlsClient(proxy.port) as client:
            assert client.ask("GET", "/tls").status == 200
        del proxy.config["listeners"]["web"]["tls"]
        assert proxy.reload().returncode == 0
        assert fetch(proxy.port, "/plain").status == 200


@pytest.mark.timeout(120)
def test_reloads_under_load(origin: Origin, leaf: Leaf) -> None:
    """Kept and new connections of both versions, and not one failure."""
    with Proxy(reverse([origin.address], listener=tls_listener(leaf))) as proxy:
        stop, counts = threading.Event(), [0] * 6
        context = client_context(alpn=["h2", "http/1.1"])

        def over_one(index: int) -> None:
            client = TlsClient(proxy.port)
            while not stop.is_set():
                assert client.ask("POST", "/load", body=b"x" * 10_000).status == 200
                counts[index] += 1
                if index:
                    client.close()
                    client = TlsClient(proxy.port)
            client.close()

        def over_two(index: int) -> None:
            client = Http2Client(proxy.port, context=context)
            while not stop.is_set():
                streams = [client.request("POST", "/load", body=b"x" * 10_000) for _ in range(5)]
                for stream in streams:
                    assert client.response(stream).status == 200
                    counts[index] += 1
                if index == 5:
                    client.close()
                    client = Http2Client(proxy.port, context=context)
            client.close()

        together = Together(lambda index: over_one(index) if index < 3 else over_two(index), len(counts))
        for turn in range(6):
            put(NEW if turn % 2 else OLD, leaf)
            proxy.config["listeners"]["web"]["limits"] = {"fields": 90 + turn}
            done = proxy.reload()
            assert done.returncode == 0, done.stderr
        stop.set()
        together.join()
        assert min(counts) > 0
        proxy.wait_records(lambda record: record.get("status") == 200, sum(counts))
        assert {record["reason"] for record in proxy.records()} == {"forwarded"}
        assert len(proxy.records()) == sum(counts)


def test_a_drain_finishes_what_is_under_way(origin: Origin) -> None:
    held = Held()
    origin.on("/held", held)
    with Proxy(reverse([origin.address], listener=tls_listener())) as proxy, TlsClient(proxy.port) as client:
        client.request("GET", "/held")
        origin.wait_for("/held")
        proxy.signal(signal.SIGTERM)
        until(lambda: not listens(proxy.port), "new connections to be refused")
        held.go.set()
        response = client.response()
        assert response.text == "finished"
        assert (response.fields.get("Connection") or "").lower() == "close"
        client.expect_closed()
        assert not client.ragged, "no close_notify"
        assert proxy.wait() == 0


def test_a_drain_says_goaway_and_finishes_its_streams(origin: Origin) -> None:
    """RFC 9113, section 6.8: new streams are not taken, old ones are."""
    held = Held()
    origin.on("/held-streams", held)
    with Proxy(reverse([origin.address], listener=tls_listener())) as proxy, Http2Client(proxy.port) as client:
        streams = [client.request("GET", "/held-streams") for _ in range(5)]
        origin.wait_for("/held-streams", 5)
        proxy.signal(signal.SIGTERM)
        code, last = client.wait_goaway()
        assert code == 0
        assert last >= streams[-1]
        until(lambda: not listens(proxy.port), "new connections to be refused")
        assert not any(client.replies[stream].ended for stream in streams)
        held.go.set()
        assert [client.response(stream).text for stream in streams] == ["finished"] * 5
        client.expect_closed()
        assert proxy.wait() == 0
    assert not client.stream.ragged, "no close_notify"


def test_a_drain_does_not_wait_for_idle_connections(origin: Origin) -> None:
    config = reverse([origin.address], listener=tls_listener(), timeout={"drain": "60s"})
    with Proxy(config) as proxy, Http2Client(proxy.port) as client, TlsClient(proxy.port) as one:
        assert client.ask("GET", "/idle").status == one.ask("GET", "/idle").status == 200
        proxy.signal(signal.SIGTERM)
        assert client.wait_goaway()[0] == 0
        client.expect_closed()
        one.expect_closed()
        assert proxy.wait(20) == 0


def test_a_drain_under_load(origin: Origin) -> None:
    """Every request whose head was sent before the GOAWAY, or below its last stream, is answered."""
    with Proxy(reverse([origin.address], listener=tls_listener())) as proxy:
        started = threading.Barrier(5, timeout=30)
        failures: list[str] = []

        def load(index: int) -> None:
            client = Http2Client(proxy.port)
            assert client.ask("GET", "/drain-load").status == 200
            started.wait()
            streams: list[int] = []
            try:
                while client.goaway is None:
                    streams = [client.request("POST", "/drain-load", body=b"x" * 5_000) for _ in range(8)]
                    for stream in streams:
                        assert client.response(stream).status == 200
            except (Closed, OSError):
                pass
            finally:
                client.close()
            last = client.goaway[1] if client.goaway else 0
            lost = [stream for stream in streams if stream <= last and not client.replies[stream].ended]
            if client.goaway is None or lost:
                failures.append(f"connection {index}: GOAWAY {client.goaway}, lost {lost}")

        together = Together(load, 4)
        started.wait()
        proxy.signal(signal.SIGTERM)
        together.join()
        assert failures == []
        assert proxy.wait() == 0
