"""Ranges of what is stored, and parts that are put together (RFC 9110, section 14; RFC 9111, sections 3.3, 3.4, 4)."""

import re
from collections.abc import Iterator

import pytest

from tests.support.cache import Answer, Script, Stage, serves, stage
from tests.support.client import Response

DATA = bytes(range(256)) * 40  # 10,240 bytes
HOUR = "Cache-Control: max-age=3600"
STRONG = (HOUR, 'ETag: "a"', "Content-Type: application/x-data")


@pytest.fixture(scope="module", params=["reverse", "forward"])
def on(request: pytest.FixtureRequest) -> Iterator[Stage]:
    with stage(request.param) as ready:
        yield ready


@pytest.fixture
def stored(on: Stage) -> Iterator[str]:
    """A path whose whole response is stored; the origin is not asked again."""
    path = on.path("whole")
    on.origin.on(path, serves(DATA, *STRONG, "Last-Modified: Tue, 15 Nov 1994 12:45:26 GMT"))
    assert on.ask(path).body == DATA
    yield path
    assert on.asked(path) == 1


def part(response: Response, start: int, end: int) -> None:
    """A 206 with exactly these bytes; the end is exclusive."""
    assert response.status == 206, response
    assert response.fields.get("Content-Range") == f"bytes {start}-{end - 1}/{len(DATA)}"
    assert response.body == DATA[start:end]


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-99", 0, 100),
        ("bytes=100-199", 100, 200),
        ("bytes=10000-", 10_000, 10_240),
        ("bytes=10000-99999", 10_000, 10_240),
        ("bytes=-1", 10_239, 10_240),
        ("bytes=-100", 10_140, 10_240),
        ("bytes=-99999", 0, 10_240),
        ("BYTES=5-6", 5, 7),
        ("bytes=0-9,5-14", 0, 15),
        ("bytes=0-9,10-19", 0, 20),
        ("bytes=0-9, 99999-", 0, 10),
    ],
)
def test_one_range_of_a_stored_response(on: Stage, stored: str, asked: str, start: int, end: int) -> None:
    part(on.ask(stored, f"Range: {asked}"), start, end)


@pytest.mark.parametrize(
    "asked",
    ["lines=0-9", "bytes=9-0", "bytes", "bytes=", "bytes=x-y", "bytes=-", "bytes=1-2-3", "bytes=0x0-0x9", "=0-1"],
)
def test_a_range_that_says_nothing_is_ignored(on: Stage, stored: str, asked: str) -> None:
    response = on.ask(stored, f"Range: {asked}")
    assert (response.status, response.body) == (200, DATA)


@pytest.mark.parametrize("asked", ["bytes=10240-", "bytes=99999-100000", "bytes=-0", "bytes=10240-, 20000-"])
def test_a_range_behind_the_end(on: Stage, stored: str, asked: str) -> None:
    response = on.ask(stored, f"Range: {asked}")
    assert response.status == 416
    assert response.fields.get("Content-Range") == f"bytes */{len(DATA)}"


def test_several_ranges(on: Stage, stored: str) -> None:
    """RFC 9110, section 14.6."""
    response = on.ask(stored, "Range: bytes=0-9, 1000-1009, -10")
    assert response.status == 206
    assert "Content-Range" not in response.fields, "section 15.3.7.2"
    kind = re.fullmatch(r'multipart/byteranges; *boundary="?([^"]+)"?', response.fields.get("Content-Type") or "")
    assert kind, response.fields
    pieces = response.body.split(b"--" + kind[1].encode())
    assert pieces[-1].strip() == b"--"
    spans = [(0, 10), (1000, 1010), (10_230, 10_240)]
    assert len(pieces) == len(spans) + 2
    for piece, (start, end) in zip(pieces[1:-1], spans, strict=True):
        head, _, body = piece.partition(b"\r\n\r\n")
        assert f"content-range: bytes {start}-{end - 1}/{len(DATA)}".encode() in head.lower()
        assert b"content-type: application/x-data" in head.lower()
        assert body == DATA[start:end] + b"\r\n"


def test_a_bomb_of_ranges_is_not_sent(on: Stage, stored: str) -> None:
    """RFC 9110, section 14.2: many small or overlapping ranges."""
    response = on.ask(stored, "Range: bytes=" + ",".join(f"{n}-" for n in range(200)))
    assert len(response.body) <= 2 * len(DATA)
    if response.status == 200:
        assert response.body == DATA


@pytest.mark.parametrize(
    ("condition", "whole"),
    [
        ('"a"', False),
        ('"b"', True),
        ('W/"a"', True),
        ("Tue, 15 Nov 1994 12:45:26 GMT", False),
        ("Wed, 16 Nov 1994 12:45:26 GMT", True),
        ("nonsense", True),
    ],
)
def test_if_range(on: Stage, stored: str, condition: str, *, whole: bool) -> None:
    """RFC 9110, section 13.1.5: only what fits exactly makes a part good."""
    response = on.ask(stored, "Range: bytes=0-9", f"If-Range: {condition}")
    if whole:
        assert (response.status, response.body) == (200, DATA)
    else:
        part(response, 0, 10)


def test_if_none_match_goes_before_range(on: Stage, stored: str) -> None:
    """RFC 9110, section 13.2.2."""
    assert on.ask(stored, "Range: bytes=0-9", 'If-None-Match: "a"').status == 304


def test_range_of_head_is_ignored(on: Stage, stored: str) -> None:
    """RFC 9110, section 14.2: only GET has ranges."""
    response = on.ask(stored, "Range: bytes=0-9", method="HEAD")
    assert (response.status, response.fields.get("Content-Length")) == (200, str(len(DATA)))


def test_a_part_is_never_served_as_the_whole(on: Stage) -> None:
    """RFC 9111, section 3.3."""
    path = on.path("part")
    on.origin.on(path, serves(DATA, *STRONG))
    part(on.ask(path, "Range: bytes=100-199"), 100, 200)
    response = on.ask(path)
    assert (response.status, response.body) == (200, DATA)


def test_a_stored_part_serves_what_lies_in_it(on: Stage) -> None:
    path = on.path("inner")
    on.origin.on(path, serves(DATA, *STRONG))
    part(on.ask(path, "Range: bytes=100-199"), 100, 200)
    part(on.ask(path, "Range: bytes=100-199"), 100, 200)
    part(on.ask(path, "Range: bytes=120-129"), 120, 130)
    assert on.asked(path) == 1
    part(on.ask(path, "Range: bytes=150-249"), 150, 250)


def test_parts_are_put_together(on: Stage) -> None:
    """RFC 9111, section 3.4: by the same strong entity tag."""
    path = on.path("joined")
    on.origin.on(path, serves(DATA, *STRONG))
    part(on.ask(path, "Range: bytes=0-4999"), 0, 5000)
    part(on.ask(path, "Range: bytes=5000-10239"), 5000, 10_240)
    asked = on.asked(path)
    response = on.ask(path)
    assert (response.status, response.body, on.asked(path)) == (200, DATA, asked)
    part(on.ask(path, "Range: bytes=4990-5009"), 4990, 5010)
    assert on.asked(path) == asked


@pytest.mark.parametrize(
    "tags", [('ETag: "a"', 'ETag: "b"'), ('ETag: W/"a"', 'ETag: W/"a"'), ("X-No: tag", "X-No: tag")]
)
def test_parts_of_different_responses_are_not_joined(on: Stage, tags: tuple[str, str]) -> None:
    """Section 3.4: MUST NOT without a strong validator that is the same."""
    path, other = on.path("apart"), bytes(reversed(DATA))
    on.origin.on(path, serves(DATA, HOUR, f"ETag: {tags[0]}"))
    on.ask(path, "Range: bytes=0-4999")
    on.origin.on(path, serves(other, HOUR, f"ETag: {tags[1]}"))
    on.ask(path, "Range: bytes=5000-10239")
    assert on.ask(path).body == other


@pytest.mark.parametrize(
    "span",
    ["bytes 0-9/5", "bytes 9-0/100", "bytes 0-99/100", "nonsense", "bytes 0-9/*", "lines 0-9/100", "bytes 5-14/100"],
)
def test_a_part_that_lies_about_itself_harms_nobody(on: Stage, span: str) -> None:
    """RFC 9110, section 14.4: an invalid Content-Range, or one that is not what the body is."""
    path = on.path("liar")
    script = Script(Answer(206, (*STRONG, f"Content-Range: {span}"), b"0123456789"))
    on.origin.on(path, script)
    on.ask(path, "Range: bytes=0-9")
    on.origin.on(path, serves(DATA, *STRONG))
    response = on.ask(path)
    assert (response.status, response.body) == (200, DATA)


def test_a_206_that_nobody_asked_for_is_not_stored_as_the_whole(on: Stage) -> None:
    path = on.path("unasked")
    on.on(path, *STRONG, "Content-Range: bytes 0-9/100", status=206, body=b"0123456789")
    on.ask(path)
    on.origin.on(path, serves(DATA, *STRONG))
    assert on.ask(path).body == DATA


def test_the_origin_ignores_the_range(on: Stage) -> None:
    """A 200 to a range request is whole, and is stored as such."""
    path = on.path("ignores")
    on.on(path, *STRONG, body=DATA)
    first = on.ask(path, "Range: bytes=0-9")
    assert first.body in (DATA, DATA[:10])
    part(on.ask(path, "Range: bytes=10-19"), 10, 20)
    assert on.ask(path).body == DATA
    assert on.asked(path) == 1


def test_416_of_the_origin_is_not_stored(on: Stage) -> None:
    path = on.path("416")
    on.origin.on(path, serves(DATA, *STRONG))
    assert on.ask(path, "Range: bytes=99999-").status == 416
    assert on.ask(path).body == DATA
