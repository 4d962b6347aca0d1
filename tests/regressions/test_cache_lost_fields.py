"""The client for whom a response is fetched gets it as the server sent it, whatever of it is stored."""

import pytest

from tests.support.cache import Answer, reverse_stage
from tests.support.client import chunked
from tests.support.origin import Exchange, Handler

LINES = (
    'Cache-Control: max-age=600, no-cache="Set-Cookie", private="X-Mine"',
    "Set-Cookie: session=alice",
    "X-Mine: 1",
    "Age: 30",
)


def in_chunks(exchange: Exchange) -> None:
    exchange.read_body()
    head = "".join(f"{line}\r\n" for line in ("HTTP/1.1 200 OK", *LINES, "Transfer-Encoding: chunked"))
    exchange.send(head.encode() + b"\r\n" + chunked(b"a", b"b"))


def large(exchange: Exchange) -> None:
    Answer(200, LINES).send(exchange, bytes(400_000))


@pytest.mark.parametrize("handler", [in_chunks, large])
@pytest.mark.parametrize(("name", "value"), [("Set-Cookie", "session=alice"), ("X-Mine", "1"), ("Age", "30")])
def test_a_field_that_is_not_stored(name: str, value: str, handler: Handler) -> None:
    """`Age` too: without it the next cache takes an old response for a new one (RFC 9111, section 5.1)."""
    with reverse_stage() as on:
        on.origin.on("/x", handler)
        assert on.ask("/x").fields.get(name) == value


def test_a_content_range_that_says_nothing() -> None:
    """RFC 9110, section 14.4: of a 200 it means nothing."""
    with reverse_stage() as on:
        on.on("/x", "Cache-Control: max-age=600", "Content-Range: bytes 0-9/10", body=b"hello")
        on.ask("/x")
        part = on.ask("/x", "Range: bytes=1-2")
        assert part.fields.values("Content-Range") == ["bytes 1-2/5"]
