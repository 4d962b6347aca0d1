"""One path, one rule: spellings that a server takes for the same path must not get past a route that guards it."""

from collections.abc import Iterator

import pytest

from tests.support.client import fetch
from tests.support.origin import Origin
from tests.support.proxy import Proxy, reverse

ROUTES = [
    {"name": "guard", "match": {"path": "/admin*"}, "respond": {"status": 403, "body": "no"}},
    {"name": "exact", "match": {"path": "/secret"}, "respond": {"status": 403, "body": "no"}},
    {"name": "all", "match": {"path": "/*"}, "pool": "all"},
]


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def proxy(origin: Origin) -> Iterator[Proxy]:
    with Proxy(reverse([origin.address], routes=ROUTES)) as proxy:
        yield proxy


@pytest.mark.parametrize(
    "target",
    [
        "/admin",
        "/x/../admin",
        "/x/%2e%2e/admin",
        "/./admin",
        "/%61dmin",
        "/x/.%2E/admin/y",
        "//admin",
        "/.//admin",
        "/x/..//admin",
        "/x/..%2fadmin",
        "/x%2f..%2fadmin",
        "/%2fadmin",
        "/%2e%2fadmin",
        "/x/..%5cadmin",
        "//x/../admin",
        "http://test.example//admin",
    ],
)
def test_a_guarded_prefix(proxy: Proxy, target: str) -> None:
    assert fetch(proxy.port, target).status in (400, 403, 404)


@pytest.mark.parametrize("target", ["/secret", "/secret?x", "/%73ecret", "/x/../secret", "//secret", "/x/..%2Fsecret"])
def test_a_guarded_path(proxy: Proxy, target: str) -> None:
    assert fetch(proxy.port, target).status in (400, 403, 404)
