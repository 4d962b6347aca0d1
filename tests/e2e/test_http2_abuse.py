"""Floods and stalls over HTTP/2: each is cut off by its own limit, told, and noticed by nobody else."""

import threading
from collections.abc import Callable, Iterator

import pytest
from h2.errors import ErrorCodes
from hpack import Encoder

from tests.support.client import Client, fetch
from tests.support.frames import (
    END_HEADERS,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    PING,
    PREFACE,
    PRIORITY,
    Outcome,
    RawClient,
    block,
    continuation,
    data,
    frame,
    headers,
    priority,
    request,
    rst_stream,
    settings,
    window_update,
)
from tests.support.http2 import Http2Client
from tests.support.origin import Exchange, Origin, Waits
from tests.support.proxy import Proxy, Record, resident, reverse
from tests.support.wait import until

GET, HELD, HELD_POST = block(request("/")), block(request("/held")), block(request("/held", method="POST"))


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        origin.on("/held", Waits())
        yield origin


@pytest.fixture
def proxy(origin: Origin) -> Iterator[Proxy]:
    """One worker, so that a flood and its neighbours meet; small limits."""
    limits = {"stream_resets": 50, "stream_errors": 50, "control_frames": 200, "continuations": 4, "stalls": 5}
    with Proxy(reverse([origin.address], limits=limits, workers=1)) as proxy:
        yield proxy


def cut_off(client: RawClient, flood: Callable[[int], bytes], count: int = 20_000) -> Outcome:
    """Sends the frames of a flood until the proxy has had enough; how it said so."""
    client.stream.sock.settimeout(15)
    stop = threading.Event()

    def pour() -> None:
        try:
            for number in range(count):
                if stop.is_set():
                    return
                client.send(flood(number))
        except OSError:
            pass

    thread = threading.Thread(target=pour, daemon=True)
    thread.start()
    outcome = client.connection_error()
    stop.set()
    thread.join(15)
    return outcome


def told(proxy: Proxy, reason: str) -> Record:
    """The one record of a flood; counted in the status too."""
    (record,) = proxy.wait_records(lambda record: record["reason"] == reason)
    assert record["listener"] == "web"
    assert proxy.status()["metrics"]["total"]["failures"][reason] == 1
    return record


def refused(outcome: Outcome, *codes: int) -> None:
    assert outcome.what == "goaway"
    assert outcome.code in (codes or (ErrorCodes.ENHANCE_YOUR_CALM,))


def test_rapid_reset(proxy: Proxy, origin: Origin) -> None:
    """CVE-2023-44487: requests that are cancelled at once never reach the bound of streams."""
    with RawClient(proxy.port) as client:
        outcome = cut_off(client, lambda i: headers(2 * i + 1, HELD) + rst_stream(2 * i + 1))
    refused(outcome)
    told(proxy, "stream_resets_flood")
    assert fetch(proxy.port, "/neighbour").status == 200
    until(lambda: origin.open_connections() <= 2, "the work for cancelled requests to end")


def test_a_client_that_cancels_now_and_then_is_no_flood(proxy: Proxy, origin: Origin) -> None:
    with RawClient(proxy.port) as client:
        for i in range(40):
            client.send(headers(2 * i + 1, HELD), rst_stream(2 * i + 1))
        client.ask(101, request("/honest"))
        assert client.outcome(101).code == 200


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(lambda stream: window_update(stream, 2**31 - 1), id="window overflow"),
        pytest.param(lambda stream: window_update(stream, 0), id="window by nothing"),
        pytest.param(lambda stream: data(stream, b"x"), id="DATA behind the end"),
        pytest.param(lambda stream: frame(PRIORITY, 0, stream, b"\0" * 4), id="PRIORITY of a wrong length"),
    ],
)
def test_made_you_reset(proxy: Proxy, origin: Origin, wrong: Callable[[int], bytes]) -> None:
    """CVE-2025-8671: the client makes the server reset streams whose requests go on behind it.

    An error that ends the connection at once leaves nothing to flood with.
    """
    with RawClient(proxy.port) as client:
        outcome = cut_off(client, lambda i: headers(2 * i + 1, HELD) + wrong(2 * i + 1))
    assert outcome.what == "goaway"
    if outcome.code == ErrorCodes.ENHANCE_YOUR_CALM:
        told(proxy, "stream_errors_flood")
    else:
        told(proxy, "http2_error")
    assert fetch(proxy.port, "/neighbour").status == 200
    until(lambda: origin.open_connections() <= 2, "the work for refused requests to end")


def test_requests_that_are_malformed(proxy: Proxy, origin: Origin) -> None:
    wrong = block(request("/", ("connection", "close")))
    with RawClient(proxy.port) as client:
        outcome = cut_off(client, lambda i: headers(2 * i + 1, wrong))
    refused(outcome)
    told(proxy, "stream_errors_flood")


@pytest.mark.parametrize(
    "part",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\x8f", id="one byte"),  # an entry of the static table
        pytest.param(block([("x-a", "b" * 10_000)]), id="large"),
    ],
)
def test_continuation_flood(proxy: Proxy, part: bytes) -> None:
    """CVE-2024-27316 and its kin: a head that never ends, of frames that are empty, small or large."""
    with RawClient(proxy.port) as client:
        client.send(headers(1, GET, whole=False))
        outcome = cut_off(client, lambda i: continuation(1, part))
    refused(outcome)
    told(proxy, "continuation_flood")
    assert fetch(proxy.port, "/neighbour").status == 200


def test_as_many_continuations_as_are_allowed(proxy: Proxy) -> None:
    with RawClient(proxy.port) as client:
        parts = [GET[i : i + 8] for i in range(0, 32, 8)]
        client.send(headers(1, b"", whole=False), *(continuation(1, part) for part in parts[:3]))
        client.send(continuation(1, GET[24:], whole=True))
        assert client.outcome(1).code == 200


@pytest.mark.parametrize(
    "flood",
    [
        pytest.param(lambda i: settings(), id="empty SETTINGS"),
        pytest.param(lambda i: settings({INITIAL_WINDOW_SIZE: 1000 + i}), id="SETTINGS"),
        pytest.param(lambda i: frame(PING, 0, 0, b"%08d" % i), id="PING"),
        pytest.param(lambda i: frame(PING, 1, 0, b"%08d" % i), id="PING answers"),
        pytest.param(lambda i: priority(1, 0), id="PRIORITY"),
        pytest.param(lambda i: frame(0x77, 0, 0, b"x" * 100), id="unknown frames"),
        pytest.param(lambda i: frame(0x10, 0, 0, b"\0\0\0\1u=1"), id="PRIORITY_UPDATE"),
    ],
)
def test_control_frames(proxy: Proxy, flood: Callable[[int], bytes]) -> None:
    """CVE-2019-9512, -9515 and kin: what costs the server an answer, or its time, and carries no request."""
    with RawClient(proxy.port) as client:
        client.acknowledge = False
        outcome = cut_off(client, flood)
    refused(outcome)
    told(proxy, "control_frames_flood")
    assert fetch(proxy.port, "/neighbour").status == 200


def test_empty_data(proxy: Proxy) -> None:
    """CVE-2019-9518: DATA without a byte and without an end."""
    with RawClient(proxy.port) as client:
        client.send(headers(1, HELD_POST, end=False))
        outcome = cut_off(client, lambda i: data(1))
    refused(outcome)
    told(proxy, "control_frames_flood")


def test_a_flood_of_answers_that_nobody_reads(proxy: Proxy) -> None:
    """CVE-2019-9514: PING answers pile up only so far when the client does not read them."""
    before = resident(proxy)
    with RawClient(proxy.port) as client:
        pings = frame(PING, 0, 0, b"12345678") * 1000
        client.stream.sock.settimeout(1)
        try:
            for _ in range(2000):
                client.send(pings)
        except OSError:
            pass
        assert resident(proxy) - before < 20_000_000
        assert fetch(proxy.port, "/neighbour").status == 200


def test_hpack_bomb(proxy: Proxy, origin: Origin) -> None:
    """CVE-2016-6581: a few bytes that refer to a large entry of the table again and again."""
    encoder = Encoder()
    before = resident(proxy)
    with RawClient(proxy.port) as client:
        encoder.header_table_size = 4096
        start = encoder.encode([*request("/bomb"), ("x-bomb", "b" * 4000)], huffman=False)
        client.send(headers(1, start))
        client.outcome(1)
        for i in range(1, 20):
            again = encoder.encode(request("/bomb"), huffman=False) + b"\xbe" * 15_000  # index 62: the newest entry
            client.send(headers(2 * i + 1, again))
        outcomes = {(outcome.what, int(outcome.code)) for i in range(1, 20) if (outcome := client.outcome(2 * i + 1))}
        assert ("response", 200) not in outcomes
        assert resident(proxy) - before < 30_000_000
    assert len(origin.seen("/bomb")) <= 1
    assert fetch(proxy.port, "/neighbour").status == 200


def test_a_table_of_cookies(proxy: Proxy) -> None:
    """Crumbs are joined within the same limit as any head."""
    crumbs = block([("cookie", "a=bbbbbbbbbb")] * 1000)
    with RawClient(proxy.port) as client:
        client.send(headers(1, block(request("/crumbs")), whole=False))
        client.send(*(continuation(1, crumbs, whole=i == 3) for i in range(4)))
        outcome = client.outcome(1)
        assert outcome.what in ("response", "reset", "goaway")
        assert outcome.code != 200
    assert fetch(proxy.port, "/neighbour").status == 200


def pours(exchange: Exchange) -> None:
    exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n")
    for _ in range(100):
        exchange.send(b"x" * 100_000)


def test_zero_windows(origin: Origin) -> None:
    """Responses that are asked for and never taken: each ends, and too many end the connection."""
    origin.on("/pour", pours)
    config = reverse([origin.address], limits={"stalls": 5}, timeout={"body": "300ms"}, workers=1)
    with Proxy(config) as proxy:
        before = resident(proxy)
        with RawClient(proxy.port, window=0) as client:
            for i in range(50):
                client.send(headers(2 * i + 1, block(request("/pour"))))
            outcome = client.connection_error()
            refused(outcome)
            assert resident(proxy) - before < 30_000_000
        assert proxy.wait_records(lambda record: record["reason"] == "stalled_streams")
        assert proxy.wait_records(lambda record: record["reason"] == "slow_client")
        assert proxy.status()["metrics"]["total"]["failures"]["stalled_streams"] >= 1
        assert fetch(proxy.port, "/neighbour").status == 200
        until(lambda: origin.open_connections() <= 2, "the servers to be let go")


def test_one_stalled_stream_ends_alone(origin: Origin) -> None:
    origin.on("/pour", pours)
    config = reverse([origin.address], limits={"stalls": 5}, timeout={"body": "300ms"}, workers=1)
    with Proxy(config) as proxy, RawClient(proxy.port, window=0) as client:
        client.send(headers(1, block(request("/pour"))))
        outcome = client.outcome(1)
        assert outcome.what == "reset"
        client.send(settings({INITIAL_WINDOW_SIZE: 65_535}), headers(3, GET))
        assert client.outcome(3).code == 200
        assert proxy.record("/pour")["reason"] == "slow_client"


def test_slow_uploads(origin: Origin) -> None:
    """A hundred bodies of which a byte comes now and then: no worker is held, each ends in time."""
    config = reverse([origin.address], timeout={"body": "400ms"}, workers=1)
    with Proxy(config) as proxy, RawClient(proxy.port) as client:
        streams = range(1, 100, 2)
        for stream in streams:
            client.send(headers(stream, HELD_POST, end=False))
        assert fetch(proxy.port, "/neighbour").status == 200
        for stream in streams:
            client.send(data(stream, b"x"))
        ends = {(outcome.what, outcome.code) for stream in streams if (outcome := client.outcome(stream))}
        assert ends == {("response", 408)}


def test_windows_of_one_byte(proxy: Proxy, origin: Origin) -> None:
    """Data dribble (CVE-2019-9511): more updates than DATA frames that they could be the answer to."""
    origin.on("/dribble", lambda exchange: exchange.respond(200, b"x" * 100_000))
    with RawClient(proxy.port, window=0) as client:
        client.send(headers(1, block(request("/dribble"))))
        client.until(lambda read: "END_HEADERS" in read.flags)
        outcome = cut_off(client, lambda i: window_update(1, 1) * 1_000)
    refused(outcome)
    told(proxy, "control_frames_flood")
    assert fetch(proxy.port, "/neighbour").status == 200


def test_a_client_that_gives_back_room_for_each_frame_is_no_flood(proxy: Proxy, origin: Origin) -> None:
    """Two updates for each DATA frame, as several clients do."""
    origin.on("/much", lambda exchange: exchange.respond(200, b"x" * 20_000_000))
    with Http2Client(proxy.port, tls=False) as client:
        assert len(client.ask("GET", "/much").body) == 20_000_000


def test_prefaces_without_end(proxy: Proxy) -> None:
    """Connections that greet and say no more leave no record and hold no worker."""
    clients = [Client(proxy.port) for _ in range(50)]
    for client in clients:
        client.send(PREFACE + settings())
    assert fetch(proxy.port, "/neighbour").status == 200
    for client in clients:
        client.reset()
    assert len(proxy.wait_records(lambda record: True)) == 1


def test_frames_of_the_largest_size_that_are_torn(proxy: Proxy) -> None:
    """A frame that is announced and never sent costs no memory."""
    before = resident(proxy)
    clients = [RawClient(proxy.port) for _ in range(50)]
    for client in clients:
        client.send(frame(HEADERS, END_HEADERS, 1, b"x", length=16_384))
    assert fetch(proxy.port, "/neighbour").status == 200
    assert resident(proxy) - before < 10_000_000
    for client in clients:
        client.close()
