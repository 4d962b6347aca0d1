"""`reviver explain` beside a running proxy: what its cache has for the request."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.client import fetch
from tests.support.origin import Origin, responds
from tests.support.proxy import Proxy, cli, reverse

URL = "http://test.example/kept"


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        fields = (("Cache-Control", "max-age=600"), ("Vary", "Accept-Encoding"), ("Cache-Tag", "logo"))
        origin.on("/kept", responds(200, b"kept", *fields))
        yield origin


@pytest.fixture
def proxy(origin: Origin) -> Iterator[Proxy]:
    config = reverse([origin.address])
    config["reverse"]["routes"] = [
        {"name": "plain", "match": {"path": "/plain"}, "pool": "all"},
        {"name": "site", "pool": "all", "cache": True},
    ]
    with Proxy(config) as proxy:
        yield proxy


def explain(proxy: Proxy, *arguments: object) -> Any:
    done = proxy.cli("explain", proxy.path, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_what_is_stored_decides(proxy: Proxy, origin: Origin) -> None:
    before = explain(proxy, "GET", URL, "-H", "Accept-Encoding: gzip")["cache"]
    assert (before["verdict"], before["reason"], before["basis"]) == ("miss", "uri_miss", None)
    fetch(proxy.port, "/kept", [("Accept-Encoding", "gzip")])
    asked = len(origin.requests)
    after = explain(proxy, "GET", URL, "-H", "Accept-Encoding: gzip")["cache"]
    assert (after["verdict"], after["reason"], after["key"]) == ("hit", "fresh", URL)
    assert (after["variant"], after["basis"]) == ("accept-encoding:gzip", "max-age")
    assert after["age"] + after["ttl"] in (599, 600)
    assert explain(proxy, "GET", URL, "-H", "Accept-Encoding: br")["cache"]["reason"] == "vary_miss"
    assert len(origin.requests) == asked

    text = proxy.cli("explain", proxy.path, "GET", URL, "-H", "Accept-Encoding: gzip").stdout
    assert "in the cache of the running proxy: hit (fresh)\n" in text
    assert "by max-age\n" in text
    assert "\nanswered from the cache; else sent to pool all" in text


def test_a_request_that_is_not_cached_asks_for_nothing(proxy: Proxy) -> None:
    told = explain(proxy, "GET", "http://test.example/plain")
    assert (told["route"], told["cache"], told["cache_note"]) == ("plain", None, None)


def test_without_a_proxy_it_says_so(proxy: Proxy) -> None:
    proxy.stop()
    told = explain(proxy, "GET", URL)
    assert told["cache"] is None
    assert "no proxy is running" in told["cache_note"]
    done = cli("explain", proxy.path, "GET", URL)
    assert done.returncode == 0
    assert done.stdout.count("what is stored is not known: no proxy is running") == 1
