"""RFC 9113, section 8: the tables of requests that are malformed, and of strange ones that are not."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from h2.errors import ErrorCodes

from tests.support.frame_cases import FOLDER
from tests.support.frames import Outcome, RawClient, block, data, headers, request
from tests.support.origin import Origin
from tests.support.proxy import Proxy, reverse


def table(name: str) -> list[Any]:
    rows = [json.loads(line) for line in (FOLDER / name).read_text(encoding="utf-8").splitlines()]
    return [pytest.param(row, id=row["name"]) for row in rows]


MALFORMED, ACCEPTED = table("malformed.jsonl"), table("accepted.jsonl")


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def proxy(origin: Origin) -> Iterator[Proxy]:
    limits = {"stream_errors": 1_000_000}
    with Proxy(reverse([origin.address], routes=[{"name": "all", "pool": "all"}], workers=1, limits=limits)) as proxy:
        yield proxy


def test_the_tables_are_there() -> None:
    assert len(MALFORMED) >= 100
    assert len(ACCEPTED) >= 25


def encoded(pairs: list[list[str]]) -> bytes:
    return block([(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs])


def send(client: RawClient, row: dict[str, Any]) -> Outcome:
    """Sends the request of a row on stream 1; what becomes of it."""
    body, trailers = row.get("body"), row.get("trailers")
    frames = headers(1, encoded(row["fields"]), end=body is None and trailers is None)
    if body is not None:
        frames += data(1, body.encode(), end=trailers is None)
    if trailers is not None:
        frames += headers(1, encoded(trailers), end=row.get("end", True))
    client.send(frames)
    return client.outcome(1)


@pytest.mark.parametrize("row", MALFORMED)
def test_malformed(proxy: Proxy, origin: Origin, row: dict[str, Any]) -> None:
    """Section 8.1.1: an error of the stream, with or without a 400 before; the connection goes on.

    What the library cannot decode as a field ends the connection, as section 5.4.1 allows: `ends` in the table.
    """
    seen = len(origin.requests)
    why = f"section {row['section']}: {row.get('why')}"
    with RawClient(proxy.port) as client:
        outcome = send(client, row)
        allowed = {("response", 400), ("reset", ErrorCodes.PROTOCOL_ERROR), ("response", row.get("also", 400))}
        if row.get("ends") == "connection":
            allowed.add(("goaway", ErrorCodes.PROTOCOL_ERROR))
        assert (outcome.what, int(outcome.code)) in allowed, why
        if outcome.what != "goaway":
            client.ask(3, request("/next"))
            assert client.response(3).text == "origin GET /next", why
    arrived = [one for one in origin.requests[seen:] if one.target != "/next"]
    assert not any(one.complete for one in arrived), f"the origin got a whole request; {why}"
    if "body" not in row:
        assert not arrived, why


@pytest.mark.parametrize("row", ACCEPTED)
def test_accepted(proxy: Proxy, origin: Origin, row: dict[str, Any]) -> None:
    seen = len(origin.requests)
    with RawClient(proxy.port) as client:
        outcome = send(client, row)
        assert outcome.what == "response", row.get("why")
        assert outcome.code in row.get("status", [200]), row.get("why")
    (arrived,) = origin.requests[seen:]
    assert len(arrived.fields.values("Host")) == 1
    assert arrived.body == (row.get("body") or "").encode()
    assert arrived.target == row.get("target", arrived.target)
    assert "#" not in arrived.target
    origin.check()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("neither_authority_nor_host", "bad_request"),  # answered
        ("connection_close", "http2_error"),  # the stream is reset by the library
        ("upper_case_name", "http2_error"),  # the connection is ended
    ],
)
def test_every_refusal_has_its_record(origin: Origin, name: str, reason: str) -> None:
    (row,) = (row.values[0] for row in MALFORMED if row.values[0]["name"] == name)
    with Proxy(reverse([origin.address])) as proxy, RawClient(proxy.port) as client:
        send(client, row)
        (record,) = proxy.wait_records(lambda record: True)
        assert record["reason"] == reason
        assert record["listener"] == "web"
        assert record["client_port"] == client.stream.sock.getsockname()[1]


def test_no_request_was_smuggled(origin: Origin, proxy: Proxy) -> None:
    """After all that the tables sent."""
    assert not origin.seen("/smuggled")
    assert not any(b"evil.example" in request.raw for request in origin.requests)
    origin.check()
