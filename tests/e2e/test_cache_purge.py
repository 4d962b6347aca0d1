"""Purging by the command line and by the method PURGE: at once, for all workers, on disk too."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cache import Answer, Script, Stage, stage
from tests.support.client import Client
from tests.support.origin import Exchange, Origin
from tests.support.proxy import Proxy, reverse
from tests.support.wait import until, wait_for

HOUR = "Cache-Control: max-age=3600"


@pytest.fixture(scope="module", params=["reverse", "forward", "disk"])
def on(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """With two workers, as every proxy of these tests."""
    disk = {"disk": {"path": "cache", "size": "64MiB"}} if request.param == "disk" else {}
    top = {"cache": {"purge": {"clients": ["127.0.0.1/32"]}, **disk}}
    with stage(
        "forward" if request.param == "forward" else "reverse", top, tags=["every"], collapse_timeout="1m"
    ) as ready:
        yield ready


def purge(proxy: Proxy, *arguments: object) -> int:
    """Purges; how many there were."""
    done = proxy.cli("cache", "purge", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert isinstance(answer["purged"], int)
    return int(answer["purged"])


class Shelf:
    """Some stored responses below one path."""

    def __init__(self, on: Stage, *lines: str, names: tuple[str, ...] = ("a", "b", "c")) -> None:
        self.on, self.base = on, on.path("shelf")
        for name in names:
            self.put(name, *lines)

    def put(self, name: str, *lines: str, status: int = 200) -> str:
        path = f"{self.base}/{name}"
        self.on.on(path.partition("?")[0], HOUR, *lines, status=status)
        self.on.ask(path)
        assert not self.gone(name)
        return path

    def url(self, name: str) -> str:
        return self.on.url(f"{self.base}/{name}")

    def gone(self, name: str) -> bool:
        """Whether the origin is asked; on several connections, so that each worker has its turn."""
        path = f"{self.base}/{name}"
        before = self.on.asked(path)
        for _ in range(4):
            assert self.on.ask(path).status < 500
        return self.on.asked(path) > before


def test_by_url(on: Stage) -> None:
    shelf = Shelf(on)
    assert purge(on.proxy, "--url", shelf.url("a")) == 1
    assert [shelf.gone(name) for name in "abc"] == [True, False, False]


def test_by_url_with_a_query(on: Stage) -> None:
    shelf = Shelf(on, names=("a?x=1", "a?x=2"))
    assert purge(on.proxy, "--url", shelf.url("a?x=1")) == 1
    assert [shelf.gone(name) for name in ("a?x=1", "a?x=2")] == [True, False]


def test_by_url_all_variants(on: Stage) -> None:
    path = on.path("variants")
    on.on(path, HOUR, "Vary: X-A")
    for value in "12":
        on.ask(path, f"X-A: {value}")
    assert purge(on.proxy, "--url", on.url(path)) >= 1
    for value in "12":
        on.ask(path, f"X-A: {value}")
    assert on.asked(path) == 4


def test_by_prefix(on: Stage) -> None:
    shelf = Shelf(on, names=("img/1", "img/2", "imgs", "doc"))
    assert purge(on.proxy, "--prefix", shelf.url("img/")) == 2
    assert [shelf.gone(name) for name in ("img/1", "img/2", "imgs", "doc")] == [True, True, False, False]


@pytest.mark.parametrize("name", ["Cache-Tag", "Surrogate-Key", "xkey"])
def test_by_tag(on: Stage, name: str) -> None:
    shelf = Shelf(on, names=("plain",))
    shelf.put("red", f"{name}: red-{name}")
    separator = ", " if name == "Cache-Tag" else " "
    shelf.put("both", f"{name}: red-{name}{separator}blue-{name}")
    shelf.put("blue", f"{name}: blue-{name}")
    assert purge(on.proxy, "--tag", f"red-{name}") == 2
    assert [shelf.gone(one) for one in ("red", "both", "blue", "plain")] == [True, True, False, False]


def test_by_a_tag_of_the_configuration(on: Stage) -> None:
    shelf = Shelf(on)
    assert purge(on.proxy, "--tag", "every") >= 3
    assert shelf.gone("a")


def test_by_group(on: Stage) -> None:
    """RFC 9875."""
    shelf = Shelf(on, names=("plain",))
    shelf.put("one", 'Cache-Groups: "scripts", "all"')
    shelf.put("two", 'Cache-Groups: "styles"')
    assert purge(on.proxy, "--group", "scripts") == 1
    assert [shelf.gone(name) for name in ("one", "two", "plain")] == [True, False, False]


def test_by_host(on: Stage) -> None:
    if on.forward:
        pytest.skip("the origin has one name here")
    path = on.path("hosts")
    on.on(path, HOUR)

    def ask(host: str) -> None:
        with Client(on.proxy.port) as client:
            assert client.ask("GET", path, host=host).status == 200

    ask("one.example")
    ask("two.example")
    assert purge(on.proxy, "--host", "one.example") == 1
    ask("two.example")
    assert on.asked(path) == 2
    ask("one.example")
    assert on.asked(path) == 3


@pytest.mark.parametrize(
    ("expression", "gone"),
    [
        ('path.startswith("{base}/") and path.endswith(".png")', "a.png"),
        ('path.startswith("{base}/") and status == 404', "lost"),
        ('path.startswith("{base}/") and "red" in tags', "tagged"),
        ('path.startswith("{base}/") and content_type == "text/css"', "style"),
        ('path.startswith("{base}/") and not path.endswith(("a.png"))  and size > 1000', "large"),
        ('path.startswith("{base}/") and matches(path, "large$")', "large"),
        ('path.startswith("{base}/") and age >= "1h"', ""),
        ('path.startswith("{base}/") and ttl > 1800 and path in ("{base}/style", "{base}/x")', "style"),
    ],
)
def test_by_expression(on: Stage, expression: str, gone: str) -> None:
    shelf = Shelf(on, names=("a.png",))
    shelf.put("lost", status=404)
    shelf.put("tagged", "Cache-Tag: red")
    shelf.put("style", "Content-Type: text/css")
    path = f"{shelf.base}/large"
    on.on(path, HOUR, body=bytes(5000))
    on.ask(path)
    names = ["a.png", "lost", "tagged", "style", "large"]
    assert purge(on.proxy, "--expression", expression.replace("{base}", shelf.base)) == (1 if gone else 0)
    assert [name for name in names if shelf.gone(name)] == ([gone] if gone else [])


@pytest.mark.parametrize(
    ("expression", "column"),
    [("status ==", 9), ("stauts == 404", 1), ("path.upper() == 'X'", 1), ('age > "abc"', 7), ("__import__('os')", 1)],
)
def test_a_wrong_expression_says_where(on: Stage, expression: str, column: int) -> None:
    shelf = Shelf(on, names=("a",))
    done = on.proxy.cli("cache", "purge", "--expression", expression)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    lines = done.stderr.splitlines()
    at = next((number for number, line in enumerate(lines) if line.strip().startswith("^")), 0)
    assert lines[at - 1].endswith(expression), f"a caret under the expression: {done.stderr}"
    assert abs(lines[at].index("^") - lines[at - 1].index(expression) + 1 - column) <= 1, done.stderr
    assert f"column {column}" in done.stderr or f"column {column + 1}" in done.stderr
    assert not shelf.gone("a")


def test_all(on: Stage) -> None:
    shelf = Shelf(on)
    assert purge(on.proxy, "--all") >= 3
    assert all(shelf.gone(name) for name in "abc")


def test_soft(on: Stage) -> None:
    """What is purged softly is validated, not fetched again."""
    path = on.path("soft")
    script = Script(Answer(200, (HOUR, 'ETag: "a"')), Answer(304, (HOUR, 'ETag: "a"')))
    on.origin.on(path, script)
    on.ask(path)
    assert purge(on.proxy, "--url", on.url(path), "--soft") == 1
    assert on.ask(path).body == script.bodies[0]
    assert on.origin.seen(path)[1].fields.get("If-None-Match") == '"a"'
    assert on.ask(path).body == script.bodies[0]
    assert on.asked(path) == 2, "the validation has made it fresh"


def test_soft_may_be_served_while_it_is_validated(on: Stage) -> None:
    path = on.path("soft-swr")
    script = Script(Answer(200, ("Cache-Control: max-age=3600, stale-while-revalidate=3600",)))
    on.origin.on(path, script)
    on.ask(path)
    assert purge(on.proxy, "--url", on.url(path), "--soft") == 1
    assert on.ask(path).body == script.bodies[0]
    on.origin.wait_for(path, 2)
    until(lambda: on.ask(path).body in script.bodies[1:], "the new response")


def test_nothing_to_purge(on: Stage) -> None:
    url = on.url(on.path("nothing"))
    assert purge(on.proxy, "--url", url) == 0
    done = on.proxy.cli("cache", "purge", "--url", url)
    assert (done.returncode, "0 purged" in done.stdout) == (0, True)
    assert purge(on.proxy, "--tag", "no-such-tag") == 0
    assert purge(on.proxy, "--host", "nowhere.example") == 0
    assert purge(on.proxy, "--group", "no-such-group") == 0


@pytest.mark.parametrize("arguments", [[], ["--all", "--tag", "x"], ["--url", "not a url"], ["--colour", "x"]])
def test_what_is_to_be_purged_must_be_said(on: Stage, arguments: list[str]) -> None:
    shelf = Shelf(on, names=("a",))
    done = on.proxy.cli("cache", "purge", *arguments)
    assert done.returncode == 2
    assert not shelf.gone("a")


def test_what_is_on_its_way_is_not_stored_any_more(on: Stage) -> None:
    """A response that was asked for before the purge may be of before."""
    path, release = on.path("overtaken"), threading.Event()

    def held(exchange: Exchange) -> None:
        wait_for(release, "the test")
        Answer(200, (HOUR,)).send(exchange, b"of before")

    on.origin.on(path, held)
    with Client(on.proxy.port) as client:
        on.request(client, path)
        on.origin.wait_for(path)
        purge(on.proxy, "--url", on.url(path))
        release.set()
        assert client.response().body == b"of before"
    new = on.on(path, HOUR)
    assert on.ask(path).body == new.bodies[0]


# -- the method


def test_purge_by_method(on: Stage) -> None:
    shelf = Shelf(on)
    response = on.ask(f"{shelf.base}/a", method="PURGE")
    assert response.status == 200
    assert [shelf.gone(name) for name in "abc"] == [True, False, False]
    assert not [request for request in on.origin.requests if request.method == "PURGE"]
    found = on.proxy.wait_records(
        lambda record: record.get("path") == f"{shelf.base}/a" and record["method"] == "PURGE"
    )
    assert found[0]["reason"] == "purged"


def test_purge_by_method_of_nothing(on: Stage) -> None:
    response = on.ask(on.path("nothing"), method="PURGE")
    assert response.status == 200
    assert "0" in response.text


def test_purge_by_method_is_not_for_everyone(on: Stage) -> None:
    shelf = Shelf(on, names=("a",))
    path = f"{shelf.base}/a"
    with Client(on.proxy.port, source="127.0.0.9") as client:
        on.request(client, path, method="PURGE")
        assert client.response("PURGE").status == 403
    assert not shelf.gone("a")
    found = on.proxy.wait_records(lambda record: record.get("path") == path and record["method"] == "PURGE")
    assert found[0]["reason"] == "purge_denied"


@pytest.mark.parametrize("direction", ["reverse", "forward"])
def test_nobody_may_purge_by_default(direction: str) -> None:
    """Nor is anything passed on to an origin that might obey."""
    with stage(direction) as on:
        path = on.path("default")
        on.on(path, HOUR)
        on.ask(path)
        assert on.ask(path, method="PURGE").status == 403
        on.ask(path)
        assert on.asked(path) == 1


def test_forwarded_addresses_do_not_open_it(on: Stage) -> None:
    shelf = Shelf(on, names=("a",))
    with Client(on.proxy.port, source="127.0.0.9") as client:
        on.request(client, f"{shelf.base}/a", "X-Forwarded-For: 127.0.0.1", method="PURGE")
        assert client.response("PURGE").status == 403
    assert not shelf.gone("a")


@pytest.mark.parametrize("how", ["PURGE", "POST", "command"])
def test_who_comes_after_does_not_join_a_fetch_of_before(on: Stage, how: str) -> None:
    """The fetch that is on its way may bring what was purged; a request after the purge makes its own."""
    path, release = on.path("join"), threading.Event()

    def held(exchange: Exchange) -> None:
        if exchange.request.method == "POST":
            exchange.respond(200)
            return
        first = on.asked(path) == 1
        if first:
            wait_for(release, "the test")
        Answer(200, (HOUR,)).send(exchange, b"of before" if first else b"of after")

    on.origin.on(path, held)
    with Client(on.proxy.port) as client, Client(on.proxy.port) as later:
        on.request(client, path)
        on.origin.wait_for(path)
        if how == "command":
            purge(on.proxy, "--url", on.url(path))
        else:
            on.ask(path, method=how, body=b"x" if how == "POST" else None)
        asked = on.asked(path)
        on.request(later, path)
        try:
            on.origin.wait_for(path, asked + 1, 5)
        finally:
            release.set()
        assert later.response().body == b"of after"
        assert client.response().body == b"of before"
    assert on.ask(path).body == b"of after"


@pytest.mark.parametrize("how", ["PURGE", "group", "POST"])
def test_nothing_of_before_is_served_after(on: Stage, how: str) -> None:
    """Stored by one worker and purged by the other within a millisecond, again and again."""
    purger = on.path("post")
    on.on(purger, 'Cache-Group-Invalidation: "soon"')
    for number in range(400):
        path = on.path(f"{how}-{number}")
        on.on(path, HOUR, 'Cache-Groups: "soon"')
        before = on.ask(path).body
        if how == "group":
            on.ask(purger, method="POST", body=b"x")
        else:
            on.ask(path, method=how, body=b"x" if how == "POST" else None)
        assert on.ask(path).body != before, f"the {number}th time"


# -- over a restart


def test_what_was_purged_on_disk_does_not_come_back(tmp_path: Path) -> None:
    top = {"cache": {"disk": {"path": str(tmp_path / "cache"), "size": "64MiB"}}}
    with stage("reverse", top) as on:
        keep, drop = on.path("keep"), on.path("drop")
        for path in (keep, drop):
            on.on(path, HOUR)
            on.ask(path)
        assert purge(on.proxy, "--url", on.url(drop)) == 1
    with stage("reverse", top) as on:
        assert on.ask(keep).status == 200
        on.on(drop, HOUR)
        assert on.ask(drop).status == 200
        assert (on.asked(keep), on.asked(drop)) == (0, 1)


def test_without_a_cache() -> None:
    """Nothing caches: an error that says so."""
    with Origin() as origin, Proxy(reverse([origin.address])) as proxy:
        done = proxy.cli("cache", "purge", "--all")
        assert done.returncode == 1
        assert "cache" in done.stderr
