"""CONNECT tunnels (RFC 9110, section 9.3.6)."""

import hashlib
import threading
from collections.abc import Iterator

import pytest

from tests.support.client import Client, absolute, connect, fetch
from tests.support.echo import Server
from tests.support.origin import Origin, Refusing
from tests.support.proxy import Proxy, forward, free_port, reverse
from tests.support.stream import Stream
from tests.support.wait import Together

BLOCK = hashlib.shake_128(b"connect").digest(5_000_000)


@pytest.fixture(scope="module")
def echo() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    with Proxy(forward(connect_ports=["1024-65535"])) as proxy:
        yield proxy


def test_the_answer_has_no_body_and_no_framing(proxy: Proxy, echo: Server) -> None:
    client, response = connect(proxy.port, echo.address)
    with client:
        assert response.status == 200
        assert "Content-Length" not in response.fields
        assert "Transfer-Encoding" not in response.fields
        client.send(b"hello")
        assert client.read_exactly(5) == b"hello"


def test_bytes_sent_before_the_answer(proxy: Proxy, echo: Server) -> None:
    with Client(proxy.port) as client:
        client.send(f"CONNECT {echo.address} HTTP/1.1\r\nHost: {echo.address}\r\n\r\nearly".encode())
        assert client.response("CONNECT").status == 200
        assert client.read_exactly(5) == b"early"


def test_a_client_of_http10(proxy: Proxy, echo: Server) -> None:
    with Client(proxy.port) as client:
        client.send(f"CONNECT {echo.address} HTTP/1.0\r\n\r\n".encode())
        assert client.response("CONNECT").status == 200
        client.send(b"old")
        assert client.read_exactly(3) == b"old"


def test_much_in_both_directions_at_once(proxy: Proxy, echo: Server) -> None:
    client, _ = connect(proxy.port, echo.address)
    with client:
        sender = threading.Thread(target=client.send, args=(BLOCK,), daemon=True)
        sender.start()
        received = client.read_exactly(len(BLOCK))
        sender.join()
    assert hashlib.sha256(received).digest() == hashlib.sha256(BLOCK).digest()


def test_many_small_messages(proxy: Proxy, echo: Server) -> None:
    client, _ = connect(proxy.port, echo.address)
    with client:
        for i in range(500):
            client.send(b"%04d" % i)
            assert client.read_exactly(4) == b"%04d" % i


def test_many_tunnels_at_once(proxy: Proxy, echo: Server) -> None:
    def one(index: int) -> None:
        client, response = connect(proxy.port, echo.address)
        with client:
            assert response.status == 200
            word = b"%d" % index * 1000
            for _ in range(10):
                client.send(word)
                assert client.read_exactly(len(word)) == word

    Together(one, 40).join()


def test_the_servers_end_closes_the_client(proxy: Proxy) -> None:
    with Server(lambda stream: stream.send(b"bye")) as server:
        client, _ = connect(proxy.port, server.address)
        with client:
            assert client.read_rest() == b"bye"


def test_a_server_that_is_reset(proxy: Proxy) -> None:
    def resets(stream: Stream) -> None:
        stream.read_exactly(1)
        stream.reset()

    with Server(resets) as server:
        client, _ = connect(proxy.port, server.address)
        with client:
            client.send(b"x")
            assert client.read_rest() == b""


def test_http_inside(proxy: Proxy) -> None:
    with Origin() as origin:
        client, _ = connect(proxy.port, origin.address)
        with client:
            assert client.ask("GET", "/inside").text == "origin GET /inside"
            assert client.ask("GET", "/again").text == "origin GET /again"
        fields = origin.only("/inside").fields
        assert "Via" not in fields, "nobody reads or writes inside a tunnel"
        assert "X-Forwarded-For" not in fields


def test_a_port_that_is_not_allowed(proxy: Proxy) -> None:
    client, response = connect(proxy.port, "127.0.0.1:25")
    with client:
        assert response.status == 403
        assert "error=http_request_denied" in (response.fields.get("Proxy-Status") or "")
    record = proxy.wait_records(lambda record: record["reason"] == "connect_port_denied")[0]
    assert "reviver.json:" in record["at"], "the record names the line that decided"


def test_a_refusing_server(proxy: Proxy) -> None:
    with Refusing() as dead:
        client, response = connect(proxy.port, dead.address)
        with client:
            assert response.status == 502
            assert "error=connection_refused" in (response.fields.get("Proxy-Status") or "")


def test_after_a_failed_one_the_client_can_go_on_or_is_told_of_the_close(proxy: Proxy) -> None:
    with Refusing() as dead, Origin() as origin:
        client, response = connect(proxy.port, dead.address)
        with client:
            assert response.status == 502
            if (response.fields.get("Connection") or "").lower() == "close":
                client.expect_closed()
            else:
                assert client.ask("GET", f"http://{origin.address}/on", host=origin.address).status == 200


@pytest.mark.parametrize(
    "target", ["127.0.0.1", "http://127.0.0.1:443/", "/", "*", "127.0.0.1:", "127.0.0.1:0", ":443", "a b:1"]
)
def test_targets_that_are_refused(proxy: Proxy, target: str) -> None:
    with Client(proxy.port) as client:
        client.request("CONNECT", target)
        assert client.response("CONNECT").status in (400, 403)


def test_a_tunnel_is_one_record(proxy: Proxy, echo: Server) -> None:
    client, _ = connect(proxy.port, echo.address)
    with client:
        client.send(b"x" * 1234)
        client.read_exactly(1234)
        port = client.port
    records = proxy.wait_records(lambda record: record["tunnel"] and record["request_body"] == 1234)
    assert len(records) == 1, port
    record = records[0]
    assert (record["method"], record["status"], record["reason"]) == ("CONNECT", 200, "tunnelled")
    assert record["response_body"] == 1234
    assert record["bytes_in"] > 1234, "the request's head counts too"
    assert record["bytes_out"] > 1234, "and so does the answer's"
    assert record["upstream"] == echo.address
    assert record["ending"] == "complete"


def test_ipv6(proxy: Proxy, ipv6: None) -> None:
    with Server(host="::1") as six:
        client, response = connect(proxy.port, f"[::1]:{six.port}")
        with client:
            assert response.status == 200
            client.send(b"six")
            assert client.read_exactly(3) == b"six"


def test_an_idle_tunnel_ends(echo: Server) -> None:
    with Proxy(forward(top={"timeout": {"tunnel": "300ms"}})) as proxy:
        client, _ = connect(proxy.port, echo.address)
        with client:
            client.expect_closed()
        assert proxy.wait_records(lambda record: record["reason"] == "tunnel_idle")


def test_connect_to_a_reverse_listener_is_refused() -> None:
    with Origin() as origin, Proxy(reverse([origin.address])) as proxy:
        client, response = connect(proxy.port, origin.address)
        with client:
            assert response.status in (400, 405)
        assert not origin.requests


def test_forward_and_reverse_in_one_program() -> None:

    with Origin() as origin, Server() as echo:
        config = reverse([origin.address], forward={"private_destinations": "allow", "connect_ports": ["1-65535"]})
        office = free_port()
        config["listeners"]["office"] = {"bind": f"127.0.0.1:{office}", "role": "forward"}
        with Proxy(config) as proxy:
            assert fetch(proxy.port, "/r").text == "origin GET /r"
            assert absolute(office, f"http://{origin.address}/f").text == "origin GET /f"
            client, response = connect(office, echo.address)
            client.close()
            assert response.status == 200
