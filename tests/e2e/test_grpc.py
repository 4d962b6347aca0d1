"""gRPC by its own library, client and server, through the proxy in all four modes."""

import threading
import time
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest

from tests.support.origin import Refusing
from tests.support.proxy import Config, Proxy, reverse
from tests.support.tls import authority, site, tls_listener

SERVICE = "test.Echo"
WAIT = 20.0


class Servant:
    """The server's side; what it saw of its calls."""

    def __init__(self) -> None:
        self.metadata: dict[str, str] = {}
        self.cancelled = threading.Event()
        self.began = threading.Event()

    def unary(self, request: bytes, context: Any) -> bytes:
        self.metadata = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
        context.set_trailing_metadata((("x-served-by", "servant"), ("data-bin", b"\x00\xff")))
        if request == b"fail":
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not now: 100% \u00fc")
        return request[::-1]

    def server_stream(self, request: bytes, context: Any) -> Iterator[bytes]:
        context.send_initial_metadata((("x-first", "1"),))
        for i in range(int(request)):
            yield b"%d" % i
        if request == b"3":
            context.abort(grpc.StatusCode.DATA_LOSS, "after three")

    def client_stream(self, requests: Iterator[bytes], context: Any) -> bytes:
        return b"%d" % sum(len(request) for request in requests)

    def both(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        for request in requests:
            yield request.upper()

    def sleeps(self, request: bytes, context: Any) -> bytes:
        context.add_callback(self.cancelled.set)
        self.began.set()
        self.cancelled.wait(WAIT)
        return b"too late"

    def handlers(self) -> Any:
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "Unary": grpc.unary_unary_rpc_method_handler(self.unary),
                "ServerStream": grpc.unary_stream_rpc_method_handler(self.server_stream),
                "ClientStream": grpc.stream_unary_rpc_method_handler(self.client_stream),
                "Both": grpc.stream_stream_rpc_method_handler(self.both),
                "Sleeps": grpc.unary_unary_rpc_method_handler(self.sleeps),
            },
        )


Pair = tuple[Any, Servant, Proxy]


@pytest.fixture(scope="module", params=["TLS both sides", "plain both sides", "TLS to h2c"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """A channel through the proxy to a servant."""
    servant = Servant()
    server = grpc.server(futures.ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers((servant.handlers(),))
    pool: Config = {"protocol": "h2"}
    if request.param == "TLS both sides":
        credentials = grpc.ssl_server_credentials([(site().key.read_bytes(), site().certificate.read_bytes())])
        port = server.add_secure_port("127.0.0.1:0", credentials)
        pool["tls"] = {"ca": str(authority().file)}
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    secure = request.param != "plain both sides"
    config = reverse([f"127.0.0.1:{port}"], pool=pool, listener=tls_listener() if secure else {})
    with Proxy(config) as proxy:
        if secure:
            roots = grpc.ssl_channel_credentials(authority().file.read_bytes())
            channel = grpc.secure_channel(f"localhost:{proxy.port}", roots)
        else:
            channel = grpc.insecure_channel(f"localhost:{proxy.port}")
        with channel:
            yield channel, servant, proxy
    server.stop(0).wait(WAIT)


def test_unary(pair: Pair) -> None:
    channel, servant, proxy = pair
    call = channel.unary_unary(f"/{SERVICE}/Unary")
    answer, info = call.with_call(b"hello", timeout=WAIT, metadata=(("x-mine", "1"), ("x-mine-bin", b"\x00\x01")))
    assert answer == b"olleh"
    assert info.code() is grpc.StatusCode.OK
    trailing = dict(info.trailing_metadata())
    assert (trailing["x-served-by"], trailing["data-bin"]) == ("servant", b"\x00\xff")
    assert servant.metadata["x-mine"] == "1"
    record = proxy.wait_records(lambda record: record.get("path") == f"/{SERVICE}/Unary")[0]
    assert (record["status"], record["protocol"], record["ending"]) == (200, "HTTP/2.0", "complete")


def test_many_at_the_same_time(pair: Pair) -> None:
    channel, _, _ = pair
    call = channel.unary_unary(f"/{SERVICE}/Unary")
    pending = [call.future(b"%d" % i, timeout=WAIT) for i in range(200)]
    assert [one.result() for one in pending] == [(b"%d" % i)[::-1] for i in range(200)]


def test_large_messages(pair: Pair) -> None:
    channel, _, _ = pair
    message = bytes(range(256)) * 12_000
    assert channel.unary_unary(f"/{SERVICE}/Unary")(message, timeout=WAIT) == message[::-1]


def test_an_error_with_its_message(pair: Pair) -> None:
    channel, _, _ = pair
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(f"/{SERVICE}/Unary")(b"fail", timeout=WAIT)
    error: Any = caught.value
    assert (error.code(), error.details()) == (grpc.StatusCode.FAILED_PRECONDITION, "not now: 100% \u00fc")


def test_a_method_that_is_not_there(pair: Pair) -> None:
    """Trailers only: one HEADERS frame."""
    channel, _, _ = pair
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(f"/{SERVICE}/Nothing")(b"", timeout=WAIT)
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED


def test_server_streaming(pair: Pair) -> None:
    channel, _, _ = pair
    call = channel.unary_stream(f"/{SERVICE}/ServerStream")(b"500", timeout=WAIT)
    assert dict(call.initial_metadata())["x-first"] == "1"
    assert list(call) == [b"%d" % i for i in range(500)]
    assert call.code() is grpc.StatusCode.OK


def test_an_error_behind_a_stream(pair: Pair) -> None:
    channel, _, _ = pair
    got: list[bytes] = []
    with pytest.raises(grpc.RpcError) as caught:
        got.extend(channel.unary_stream(f"/{SERVICE}/ServerStream")(b"3", timeout=WAIT))
    error: Any = caught.value
    assert (error.code(), error.details()) == (grpc.StatusCode.DATA_LOSS, "after three")


def test_client_streaming(pair: Pair) -> None:
    channel, _, _ = pair
    messages = (b"x" * i for i in range(500))
    assert channel.stream_unary(f"/{SERVICE}/ClientStream")(messages, timeout=WAIT) == b"%d" % sum(range(500))


def test_bidirectional_streaming(pair: Pair) -> None:
    """Each message is answered before the next is sent: nothing is held back on the way."""
    channel, _, _ = pair
    answered = threading.Semaphore(0)

    def questions() -> Iterator[bytes]:
        for i in range(50):
            yield b"message %d" % i
            assert answered.acquire(timeout=WAIT)

    call = channel.stream_stream(f"/{SERVICE}/Both")(questions(), timeout=WAIT)
    for i, answer in enumerate(call):
        assert answer == b"MESSAGE %d" % i
        answered.release()
    assert i == 49
    assert call.code() is grpc.StatusCode.OK


def test_a_deadline_cancels_the_work(pair: Pair) -> None:
    channel, servant, _ = pair
    servant.cancelled.clear()
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(f"/{SERVICE}/Sleeps")(b"", timeout=0.3)
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert servant.cancelled.wait(WAIT), "the server goes on working for nobody"


def test_a_cancelled_call(pair: Pair) -> None:
    channel, servant, _ = pair
    servant.cancelled.clear()
    servant.began.clear()
    call = channel.unary_unary(f"/{SERVICE}/Sleeps").future(b"", timeout=WAIT)
    assert servant.began.wait(WAIT)
    call.cancel()
    assert servant.cancelled.wait(WAIT)


def test_a_server_that_is_down() -> None:
    """A page of the proxy is not gRPC; clients map its status (502, 503) to UNAVAILABLE."""
    with Refusing() as dead, Proxy(reverse([dead.address], pool={"protocol": "h2"})) as proxy:
        with grpc.insecure_channel(f"localhost:{proxy.port}") as channel, pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(f"/{SERVICE}/Unary")(b"x", timeout=WAIT)
        error: Any = caught.value
        assert error.code() is grpc.StatusCode.UNAVAILABLE


def test_keepalive_pings_are_no_flood() -> None:
    """A client that pings as often as gRPC's servers allow."""
    servant = Servant()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((servant.handlers(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    options = [
        ("grpc.keepalive_time_ms", 50),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    config = reverse([f"127.0.0.1:{port}"], pool={"protocol": "h2"})
    with Proxy(config) as proxy, grpc.insecure_channel(f"localhost:{proxy.port}", options) as channel:
        call = channel.unary_unary(f"/{SERVICE}/Unary")
        end = time.monotonic() + 0.6
        while time.monotonic() < end:
            assert call(b"ab", timeout=WAIT) == b"ba"
    server.stop(0).wait(WAIT)
