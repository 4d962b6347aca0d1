"""A redirect leads where the configuration says, whatever the request says."""

import pytest

from tests.support.client import fetch_raw
from tests.support.proxy import Proxy, reverse


def test_a_redirect_without_a_host_does_not_lead_to_the_path() -> None:
    """`https://` and `//evil.example` make a URL that browsers read as that host."""
    routes = [{"name": "all", "match": {"path": "/*"}, "redirect": {"to": "https://{host}{path}"}}]
    with Proxy(reverse(routes=routes)) as proxy:
        response = fetch_raw(proxy.port, b"GET //evil.example/x HTTP/1.0\r\n\r\n")
        assert response.status == 400 or not (response.fields.get("Location") or "").startswith("https:///")


@pytest.mark.parametrize("target", ["//evil.example/x", "/.//evil.example", "/\t/evil.example", "/\\evil.example"])
def test_a_redirect_to_the_path_stays_on_the_host(target: str) -> None:
    routes = [{"name": "all", "match": {"path": "/*"}, "redirect": {"to": "{path}/"}}]
    with Proxy(reverse(routes=routes)) as proxy:
        response = fetch_raw(proxy.port, f"GET {target} HTTP/1.1\r\nHost: t\r\n\r\n".encode())
        assert response.status == 400 or not (response.fields.get("Location") or "").startswith(("//", "/\\"))


def test_line_ends_in_a_path_or_query_stay_encoded() -> None:
    routes = [{"name": "all", "match": {"path": "/*"}, "redirect": {"to": "/new{path}?{query}"}}]
    with Proxy(reverse(routes=routes)) as proxy:
        response = fetch_raw(proxy.port, b"GET /a%0d%0aX-Evil:%201?b=%0d%0aX-Evil:1 HTTP/1.1\r\nHost: t\r\n\r\n")
        assert "X-Evil" not in response.fields
