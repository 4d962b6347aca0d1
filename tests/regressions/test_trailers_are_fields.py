"""What may not pass as a field may not pass as a trailer: servers merge the two."""

from collections.abc import Iterator

import pytest

from tests.support.client import Client, chunked, encode_request
from tests.support.origin import Origin
from tests.support.proxy import Proxy, forward, reverse


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


def sends(proxy: Proxy, target: str, *trailers: tuple[str, str]) -> None:
    with Client(proxy.port) as client:
        body = chunked(b"x", trailers=[*trailers, ("X-Checksum", "1")])
        client.send(encode_request("POST", target, [("Transfer-Encoding", "chunked"), ("TE", "trailers")]) + body)
        assert client.response("POST").status == 200


def test_fields_that_a_rule_removes_or_sets(origin: Origin) -> None:
    rules = {"request": {"set": {"X-Role": "guest"}, "remove": ["X-Internal"]}}
    routes = [{"name": "all", "match": {"path": "/*"}, "pool": "all", "headers": rules}]
    with Proxy(reverse([origin.address], routes=routes)) as proxy:
        sends(proxy, "/rules", ("X-Role", "admin"), ("x-internal", "1"), ("X-Forwarded-For", "1.2.3.4"))
    assert origin.only("/rules").trailers.names() == {"x-checksum"}


@pytest.mark.parametrize("level", ["anonymous", "high"])
def test_fields_that_tell_who_asks(origin: Origin, level: str) -> None:
    with Proxy(forward(anonymity={"level": level})) as proxy:
        sends(
            proxy, f"http://{origin.address}/{level}", ("X-Client-IP", "10.1.1.1"), ("Via", "1.1 home"), ("From", "a@b")
        )
    assert origin.only(f"/{level}").trailers.names() == {"x-checksum"}
