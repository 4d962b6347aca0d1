"""RFC 9113 section by section, frame by frame: what a server has to do with right and wrong frames."""

import contextlib
from collections.abc import Iterator

import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import GoAwayFrame, PingFrame, RstStreamFrame, SettingsFrame, WindowUpdateFrame

from tests.support import frame_cases
from tests.support.frames import (
    ACK,
    DATA,
    HEADER_TABLE_SIZE,
    INITIAL_WINDOW_SIZE,
    PING,
    PREFACE,
    SETTINGS,
    Outcome,
    RawClient,
    block,
    data,
    frame,
    goaway,
    headers,
    request,
    rst_stream,
    settings,
    window_update,
)
from tests.support.http2_origin import Http2Origin
from tests.support.origin import Origin, Waits
from tests.support.proxy import Proxy, reverse
from tests.support.stream import Closed

GET, POST = block(request("/")), block(request("/", method="POST"))
#: Answers never come: the stream stays as the client left it.
HELD, HELD_POST = block(request("/held")), block(request("/held", method="POST"))
CASES = frame_cases.read({"GET": GET, "POST": POST, "HELD": HELD, "HELD_POST": HELD_POST})


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        origin.on("/held", Waits())
        yield origin


@pytest.fixture(scope="module")
def proxy(origin: Origin) -> Iterator[Proxy]:
    with Proxy(reverse([origin.address], workers=1)) as proxy:
        yield proxy


def test_the_table_is_there() -> None:
    assert len(CASES) >= 75
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name.replace(" ", "_")) for case in CASES])
def test_frames(proxy: Proxy, case: frame_cases.Case) -> None:
    with RawClient(proxy.port, window=65_535) as client:
        client.send(case.sent)
        if case.wanted == "fine":
            outcome = client.outcome(case.codes[0])
            assert (outcome.what, outcome.code) == ("response", 200)
            assert client.alive()
            return
        if case.wanted == "perhaps":
            for _ in range(2):
                client.alive()
            ends = [read.error_code for read in client.seen if isinstance(read, GoAwayFrame | RstStreamFrame)]
            assert set(ends) <= {*case.codes, *case.tolerated}
            return
        outcome = client.outcome(1)
        allowed = {("goaway", code) for code in (*case.codes, *case.tolerated)}
        if case.wanted == "stream":
            allowed |= {("reset", code) for code in case.codes}
        assert (outcome.what, outcome.code) in allowed
        if outcome.what == "reset":
            assert client.alive(), "an error of a stream is not one of the connection"
        else:
            client.stream.read_rest()  # and it is closed


# -- 3.4: the preface


def test_the_preface_and_a_request_in_one_packet(proxy: Proxy) -> None:
    """A client need not wait for the server's settings (section 3.4)."""
    with RawClient(proxy.port, greet=False) as client:
        client.send(PREFACE, settings(), headers(1, GET))
        assert client.outcome().code == 200
        assert isinstance(client.seen[0], SettingsFrame) and "ACK" not in client.seen[0].flags
        assert any(isinstance(read, SettingsFrame) and "ACK" in read.flags for read in client.seen)


def test_the_preface_in_single_bytes(proxy: Proxy) -> None:
    with RawClient(proxy.port, greet=False) as client:
        for byte in PREFACE + settings() + headers(1, GET):
            client.send(bytes([byte]))
        assert client.outcome().code == 200


@pytest.mark.parametrize(
    "preface",
    [
        pytest.param(PREFACE[:-2] + b"XX" + settings(), id="last bytes"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n" + settings(), id="second half"),
        pytest.param(PREFACE + headers(1, GET), id="no SETTINGS first"),
        pytest.param(PREFACE + frame(SETTINGS, ACK), id="an acknowledgement first"),
        pytest.param(PREFACE + frame(PING, 0, 0, b"8" * 8), id="PING first"),
    ],
)
def test_a_wrong_preface_ends_the_connection(proxy: Proxy, preface: bytes) -> None:
    with RawClient(proxy.port, greet=False) as client:
        client.send(preface)
        # as to a client of HTTP/1.1, or by a GOAWAY, or without a word
        with contextlib.suppress(Closed):
            start = client.stream.read_exactly(9)
            if start == b"HTTP/1.1 ":
                assert client.stream.read_exactly(3) == b"400"
            else:
                client.stream.buffer[:0] = start
                assert client.connection_error().code == ErrorCodes.PROTOCOL_ERROR
        client.stream.read_rest()


# -- 5.1 and 5.4: what an error leaves


def test_a_goaway_tells_the_last_stream(proxy: Proxy, origin: Origin) -> None:
    """Section 6.8: a client can tell from it what was not done."""
    with RawClient(proxy.port) as client:
        client.ask(1, request("/last"))
        assert client.response(1).status == 200
        client.send(data(0, b"x"))
        outcome = client.connection_error()
        assert (outcome.what, outcome.code) == ("goaway", ErrorCodes.PROTOCOL_ERROR)
        last = client.seen[-1]
        assert isinstance(last, GoAwayFrame) and last.last_stream_id == 1


def test_a_reset_does_not_disturb_its_neighbours(proxy: Proxy) -> None:
    with RawClient(proxy.port) as client:
        client.send(headers(1, HELD), headers(3, HELD_POST, end=False), window_update(1, 2**31 - 1), data(3, b"x"))
        assert client.outcome(1) == Outcome("reset", ErrorCodes.FLOW_CONTROL_ERROR)
        client.send(rst_stream(3), headers(5, GET))
        assert client.outcome(5).code == 200


def test_an_odd_end_within_a_frame(proxy: Proxy) -> None:
    with RawClient(proxy.port) as client:
        client.send(frame(DATA, 0, 1, b"x", length=100))
        client.stream.half_close()
        client.stream.read_rest()


# -- 6.5.3, 6.7: acknowledgements


def test_settings_are_acknowledged_in_order(proxy: Proxy) -> None:
    with RawClient(proxy.port) as client:
        client.send(settings({INITIAL_WINDOW_SIZE: 5}), frame(PING, 0, 0, b"behind!!"))
        client.until(lambda read: isinstance(read, PingFrame) and read.opaque_data == b"behind!!")
        acks = [read for read in client.seen if isinstance(read, SettingsFrame) and "ACK" in read.flags]
        assert len(acks) == 2, "the preface's and this one, before what came later"


def test_a_header_table_of_nothing(proxy: Proxy) -> None:
    """Section 4.3.1: from the acknowledgement on, blocks are to be decoded without a dynamic table."""
    with RawClient(proxy.port, {HEADER_TABLE_SIZE: 0}) as client:
        client.decoder.header_table_size = 0
        client.decoder.max_allowed_table_size = 0
        for stream_ in (1, 3, 5):
            client.ask(stream_, request("/"))
            assert client.response(stream_).status == 200


# -- 6.8: the client's GOAWAY


def test_what_is_under_way_when_the_client_goes_is_answered(proxy: Proxy) -> None:
    with RawClient(proxy.port) as client:
        client.send(headers(1, GET), headers(3, POST, end=False), goaway(0), data(3, b"x", end=True))
        assert client.outcome(1).code == 200
        assert client.outcome(3).code == 200
        assert client.connection_error().what == "closed"


# -- 6.9: flow control


def test_data_stays_within_the_window(proxy: Proxy) -> None:
    with RawClient(proxy.port, window=0) as client:
        client.send(headers(1, GET), frame(PING, 0, 0, b"in order"))
        client.until(lambda read: "END_HEADERS" in read.flags)
        for _ in range(3):
            client.send(window_update(1, 1))
            read = client.until(lambda read: read.type == DATA)
            assert read.body_len == 1
        assert client.alive()
        assert sum(read.body_len for read in client.seen if read.type == DATA) == 3
        client.send(settings({INITIAL_WINDOW_SIZE: 65_535}))
        assert client.outcome(1).code == 200


def test_a_window_may_become_negative(proxy: Proxy) -> None:
    """Section 6.9.2: a smaller initial window takes back what was given."""
    with RawClient(proxy.port, window=5) as client:
        client.send(headers(1, GET))
        client.until(lambda read: read.type == DATA)
        client.send(settings({INITIAL_WINDOW_SIZE: 2}))
        assert client.alive()
        client.send(window_update(1, 3))  # from -3 to 0
        assert client.alive()
        assert sum(read.body_len for read in client.seen if read.type == DATA) == 5
        client.send(window_update(1, 1_000))
        assert client.outcome(1).code == 200


def test_the_connections_window_holds_for_all_streams(proxy: Proxy, origin: Origin) -> None:
    size = 70_000
    origin.on("/large", lambda exchange: exchange.respond(200, b"x" * size))
    with RawClient(proxy.port, {INITIAL_WINDOW_SIZE: 1_000_000}, window=65_535) as client:
        client.send(headers(1, block(request("/large"))))
        got = 0
        while got < 65_535:
            got += client.until(lambda read: read.type == DATA).body_len
        assert got == 65_535
        client.send(headers(3, GET))
        assert client.alive(), "a head and a PING need no window"
        client.send(window_update(0, 100_000))
        assert client.outcome(1).response is not None
        assert client.outcome(3).code == 200


def test_a_client_that_sends_more_than_the_window() -> None:
    """A server that takes its first window, and no more, is what makes the client's window end: one that reads on
    gives room without end to a client that is slower than it."""
    with (
        Http2Origin(greedy=False) as origin,
        Proxy(reverse([origin.address], pool={"protocol": "h2"}, workers=1)) as proxy,
        RawClient(proxy.port) as client,
    ):
        client.send(headers(1, POST, end=False))
        sent, read = 0, client.seen[-1]
        while not isinstance(read, RstStreamFrame | GoAwayFrame):
            client.send(data(1, b"x" * 16_384), frame(PING, 0, 0, b"all read"))
            sent += 16_384
            read = client.until(lambda read: isinstance(read, PingFrame | RstStreamFrame | GoAwayFrame))
        assert read.error_code == ErrorCodes.FLOW_CONTROL_ERROR
        updates = [one for one in client.seen if isinstance(one, WindowUpdateFrame) and one.stream_id == 1]
        given = client.settings[INITIAL_WINDOW_SIZE] + sum(update.window_increment for update in updates)
        assert sent > given, "nobody is told off for what was allowed"
        if isinstance(read, RstStreamFrame):
            assert client.alive(), "an error of a stream is not one of the connection"
