"""Slices: a large file is fetched and kept piecewise."""

from collections.abc import Iterator

import pytest

from tests.support.cache import Stage, serves, stage
from tests.support.client import Client
from tests.support.stream import Closed
from tests.support.wait import Together

HOUR = "Cache-Control: max-age=3600"
MIB = 1 << 20
DATA = bytes(range(256)) * 4096 * 10  # 10 MiB


@pytest.fixture(scope="module")
def sliced() -> Iterator[Stage]:
    with stage("reverse", slice="1MiB") as on:
        yield on


def spans(on: Stage, path: str) -> list[str | None]:
    return [request.fields.get("Range") for request in on.origin.seen(path)]


def test_a_range_of_a_large_file_fetches_its_pieces(sliced: Stage) -> None:
    path = sliced.path("piece")
    sliced.origin.on(path, serves(DATA, HOUR, 'ETag: "a"'))
    response = sliced.ask(path, f"Range: bytes={5 * MIB}-{5 * MIB + 9}")
    assert (response.status, response.body) == (206, DATA[5 * MIB : 5 * MIB + 10])
    assert response.fields.get("Content-Range") == f"bytes {5 * MIB}-{5 * MIB + 9}/{len(DATA)}"
    asked = spans(sliced, path)
    assert None not in asked, "never the whole"
    assert f"bytes={5 * MIB}-{6 * MIB - 1}" in asked
    assert len(asked) <= 2
    response = sliced.ask(path, f"Range: bytes={5 * MIB + 100}-{6 * MIB - 1}")
    assert response.body == DATA[5 * MIB + 100 : 6 * MIB]
    assert spans(sliced, path) == asked, "the piece is stored"
    response = sliced.ask(path, f"Range: bytes={6 * MIB - 10}-{6 * MIB + 9}")
    assert response.body == DATA[6 * MIB - 10 : 6 * MIB + 10]
    assert len(spans(sliced, path)) == len(asked) + 1, "only the piece that was missing"


def test_the_whole_is_fetched_by_pieces(sliced: Stage) -> None:
    path = sliced.path("whole")
    sliced.origin.on(path, serves(DATA, HOUR, 'ETag: "a"'))
    response = sliced.ask(path)
    assert (response.status, len(response.body)) == (200, len(DATA))
    assert response.body == DATA
    assert sorted(int((span or "=").partition("=")[2].partition("-")[0]) for span in spans(sliced, path)) == [
        number * MIB for number in range(10)
    ]
    assert sliced.ask(path).body == DATA
    tail = sliced.ask(path, "Range: bytes=-5")
    assert (tail.status, tail.body) == (206, DATA[-5:])
    assert sliced.asked(path) == 10


def test_pieces_of_different_versions_are_not_mixed(sliced: Stage) -> None:
    """The file changes between two pieces: no client gets half of each under a whole length."""
    path = sliced.path("changes")
    new = bytes(reversed(DATA))
    sliced.origin.on(path, serves(DATA, HOUR, 'ETag: "a"'))
    sliced.ask(path, "Range: bytes=0-9")
    sliced.origin.on(path, serves(new, HOUR, 'ETag: "b"'))
    with Client(sliced.proxy.port) as client:
        sliced.request(client, path)
        head = client.head()
        try:
            client.read_body(head)
        except Closed:  # broken off: the client knows
            pass
        else:
            assert head.body == new
    assert sliced.ask(path).body == new


def test_a_small_file_needs_one_request(sliced: Stage) -> None:
    path = sliced.path("small")
    sliced.origin.on(path, serves(DATA[:1000], HOUR, 'ETag: "a"'))
    for _ in range(2):
        response = sliced.ask(path)
        assert (response.status, response.body) == (200, DATA[:1000])
    assert sliced.asked(path) == 1


def test_an_origin_without_ranges(sliced: Stage) -> None:
    path = sliced.path("no-ranges")
    sliced.on(path, HOUR, 'ETag: "a"', body=DATA)
    response = sliced.ask(path)
    assert (response.status, response.body == DATA) == (200, True)
    response = sliced.ask(path, "Range: bytes=0-9")
    assert response.body in (DATA[:10], DATA)


def test_errors_of_a_sliced_file(sliced: Stage) -> None:
    path = sliced.path("errors")
    sliced.on(path, status=404, body=b"no such file")
    assert (sliced.ask(path).status, sliced.ask(path).body) == (404, b"no such file")
    ranged = sliced.path("behind")
    sliced.origin.on(ranged, serves(DATA[:1000], HOUR, 'ETag: "a"'))
    assert sliced.ask(ranged, "Range: bytes=99999999-").status == 416


def test_many_clients_share_the_pieces(sliced: Stage) -> None:
    path = sliced.path("herd")
    sliced.origin.on(path, serves(DATA, HOUR, 'ETag: "a"'))

    def one(number: int) -> None:
        start = number % 10 * MIB
        assert sliced.ask(path, f"Range: bytes={start}-{start + 99}").body == DATA[start : start + 100]

    Together(one, 40).join()
    assert len(set(spans(sliced, path))) == len(spans(sliced, path)), "no piece twice"


UNSLICEABLE = [
    ("weak", DATA, (HOUR, 'ETag: W/"a"')),
    ("none", DATA, (HOUR,)),
    ("no-store", DATA, ("Cache-Control: no-store", 'ETag: "a"')),
    ("private", DATA, ("Cache-Control: private", 'ETag: "a"')),
    ("empty", b"", (HOUR, 'ETag: "a"')),
    ("small", DATA[:1000], (HOUR,)),
]


@pytest.mark.parametrize(("title", "data", "lines"), UNSLICEABLE, ids=[row[0] for row in UNSLICEABLE])
def test_what_cannot_be_put_together_is_fetched_whole(
    sliced: Stage, title: str, data: bytes, lines: tuple[str, ...]
) -> None:
    """Without a strong entity tag pieces could be of different versions; what may not be stored is passed on."""
    path = sliced.path(title)
    sliced.origin.on(path, serves(data, *lines))
    for _ in range(2):
        response = sliced.ask(path)
        assert response.status == 200
        assert response.body == data


def test_several_ranges_of_pieces(sliced: Stage) -> None:
    path = sliced.path("several")
    sliced.origin.on(path, serves(DATA, HOUR, 'ETag: "a"'))
    response = sliced.ask(path, f"Range: bytes=0-9,{MIB - 5}-{MIB + 5},-5")
    assert response.status == 206
    for piece in (DATA[:10], DATA[MIB - 5 : MIB + 6], DATA[-5:]):
        assert b"\r\n\r\n" + piece + b"\r\n--" in response.body
    assert len(spans(sliced, path)) == 3


def test_conditions_and_head_of_pieces(sliced: Stage) -> None:
    path = sliced.path("conditions")
    sliced.origin.on(path, serves(DATA, HOUR, 'ETag: "a"'))
    head = sliced.ask(path, method="HEAD")
    assert (head.status, head.fields.get("Content-Length")) == (200, str(len(DATA)))
    assert sliced.ask(path, 'If-None-Match: "a"').status == 304
    part = sliced.ask(path, "Range: bytes=1-2", 'If-Range: "a"')
    assert (part.status, part.body) == (206, DATA[1:3])
    whole = sliced.ask(path, "Range: bytes=1-2", 'If-Range: "b"')
    assert whole.status == 200
    assert whole.body == DATA
