"""RFC 8246 (immutable), RFC 9213 (targeted fields), RFC 9875 (groups)."""

from collections.abc import Iterator

import pytest

from tests.support.cache import Case, Stage, case, checked, goes, hits, stage

HOUR = "Cache-Control: max-age=3600"
SHORT = ("Cache-Control: max-age=60", "Age: 100")


def cdn(value: str) -> str:
    return f"CDN-Cache-Control: {value}"


TARGETED = [
    case("9213-2.2 it replaces Cache-Control", goes(*SHORT, cdn("max-age=3600")), hits()),
    case("9213-2.2 it replaces no-store", goes("Cache-Control: no-store", cdn("max-age=3600")), hits()),
    case("9213-2.2 it replaces private", goes("Cache-Control: private", cdn("max-age=3600")), hits()),
    case("9213-2.2 it replaces Expires", goes("Expires: 0", cdn("max-age=3600")), hits()),
    case("9213-2.2 it forbids", goes(HOUR, cdn("no-store")), goes()),
    case("9213-2.2 it says private", goes(HOUR, cdn("private")), goes()),
    case("9213-2.2 no-cache", goes(HOUR, cdn("no-cache"), 'ETag: "a"'), checked(HOUR, 'ETag: "a"')),
    case("9213-2.2 an empty one says nothing", goes(HOUR, cdn("")), hits()),
    case("9213-2.1 one that cannot be read is ignored", goes(HOUR, cdn("max-age=3600, &&")), hits()),
    case("9213-2.1 and does not forbid either", goes(HOUR, cdn("no-store, =")), hits()),
    case("9213-2.1 upper case is not allowed in it", goes(*SHORT, cdn("Max-Age=3600")), goes()),
    case("9213-2.1 a string is no number of seconds", goes(*SHORT, cdn('max-age="3600"')), goes()),
    case("9213-2.1 a fraction is no number of seconds", goes(cdn("max-age=3600.5")), goes()),
    case("9213-2.1 parameters are ignored", goes(*SHORT, cdn("max-age=3600;x=1")), hits()),
    case("9213-2.1 the last of two counts", goes(cdn("max-age=60, max-age=3600"), "Age: 100"), hits()),
    case("9213-2.2 it is passed on", goes(HOUR, cdn("max-age=3600"), shows=(cdn("max-age=3600"),)), hits()),
    case("9213-3.1 one for another cache is nothing", goes(*SHORT, "Other-Cache-Control: max-age=3600"), goes()),
]

IMMUTABLE = [
    case("8246-2 fresh", goes("Cache-Control: max-age=3600, immutable"), hits()),
    case("8246-2 not longer than fresh", goes("Cache-Control: max-age=60, immutable", "Age: 100"), goes()),
    case("8246-2 alone says nothing", goes("Cache-Control: immutable"), goes()),
]

GROUPS = [
    case(
        "9875-3 an unsafe request invalidates the group",
        goes(HOUR, 'Cache-Groups: "one"', at="/a"),
        goes(HOUR, 'Cache-Groups: "one", "two"', at="/b"),
        goes(HOUR, 'Cache-Groups: "two"', at="/c"),
        goes(HOUR, at="/d"),
        goes('Cache-Group-Invalidation: "one"', method="POST", upload=b"x", at="/post"),
        goes(at="/a"),
        goes(at="/b"),
        hits(at="/c"),
        hits(at="/d"),
    ),
    case(
        "9875-3 a safe request does not",
        goes(HOUR, 'Cache-Groups: "one"', at="/a"),
        goes('Cache-Group-Invalidation: "one"', at="/get"),
        hits(at="/a"),
    ),
    case(
        "9875-3 an error does not",
        goes(HOUR, 'Cache-Groups: "one"', at="/a"),
        goes('Cache-Group-Invalidation: "one"', method="POST", upload=b"x", status=500, at="/post"),
        hits(at="/a"),
    ),
    case(
        "9875-2 names have case and are strings",
        goes(HOUR, 'Cache-Groups: "One"', at="/a"),
        goes(HOUR, "Cache-Groups: one", at="/b"),
        goes('Cache-Group-Invalidation: "one"', method="POST", upload=b"x", at="/post"),
        hits(at="/a"),
        hits(at="/b"),
    ),
]


@pytest.fixture(scope="module", params=["reverse", "forward"])
def on(request: pytest.FixtureRequest) -> Iterator[Stage]:
    with stage(request.param, {"cache": {"targeted": ["CDN-Cache-Control"]}}) as ready:
        yield ready


@pytest.mark.parametrize("row", [pytest.param(row, id=row.title) for row in TARGETED + IMMUTABLE + GROUPS])
def test_extensions(on: Stage, row: Case) -> None:
    row.run(on)


def test_names_of_targeted_fields_can_be_chosen() -> None:
    """The first that is there and can be read counts."""
    with stage("reverse", {"cache": {"targeted": ["Reviver-Cache-Control", "CDN-Cache-Control"]}}) as on:
        own = "Reviver-Cache-Control"
        for row in (
            case("the first counts", goes(f"{own}: max-age=3600", cdn("no-store")), hits()),
            case("the first counts, in any order", goes(cdn("max-age=3600"), f"{own}: no-store"), goes()),
            case("the second where the first cannot be read", goes(f"{own}: &", cdn("max-age=3600")), hits()),
        ):
            row.run(on)


def test_no_targeted_fields() -> None:
    with stage("reverse", {"cache": {"targeted": []}}) as on:
        case("it is nothing", goes(*SHORT, cdn("max-age=3600")), goes()).run(on)
