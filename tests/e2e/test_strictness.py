"""The tables of requests that are refused, and of strange ones that are not, through a socket."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.origin import Origin
from tests.support.proxy import Proxy, reverse
from tests.support.stream import Closed

CASES = Path(__file__).resolve().parents[1] / "cases"


def table(name: str) -> list[Any]:
    path = CASES / name
    if not path.exists():
        return []
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [pytest.param(row, id=row["name"]) for row in rows]


REFUSED, ACCEPTED = table("strictness.jsonl"), table("accepted.jsonl")


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def proxy(origin: Origin) -> Iterator[Proxy]:
    with Proxy(
        reverse(
            [origin.address],
            routes=[{"name": "all", "pool": "all"}],
            workers=1,
            timeout={"head": "1s", "body": "1s"},
            listener={"http2": False},
        )
    ) as proxy:
        yield proxy


def test_the_tables_are_there() -> None:
    assert len(REFUSED) >= 150
    assert len(ACCEPTED) >= 30


@pytest.mark.parametrize("row", REFUSED)
def test_refused(proxy: Proxy, origin: Origin, row: dict[str, Any]) -> None:
    seen = len(origin.requests)
    with Client(proxy.port) as client:
        with contextlib.suppress(OSError):
            client.send(row["request"].encode("latin-1"))
        try:
            response = client.response("HEAD" if row["request"].startswith("HEAD ") else "GET")
        except Closed as error:
            pytest.fail(f"no answer: {error}; {row['why']}")
        assert response.status == row["expect"], row["why"]
        if row["expect"] not in (404, 405, 417):
            assert (response.fields.get("Connection") or "").lower() == "close", "the client is told of the close"
            client.expect_closed()
    arrived = origin.requests[seen:]
    assert not any(request.complete for request in arrived), f"the origin got a whole request; {row['why']}"
    if "transfer-encoding" not in row["request"].lower():
        assert not arrived, row["why"]


@pytest.mark.parametrize("row", ACCEPTED)
def test_accepted(proxy: Proxy, origin: Origin, row: dict[str, Any]) -> None:
    seen = len(origin.requests)
    method = row["request"].lstrip("\r\n").split(" ", 1)[0]
    with Client(proxy.port) as client:
        client.send(row["request"].encode("latin-1"))
        assert client.response(method).status == 200, row["why"]
    assert len(origin.requests) == seen + 1
    request = origin.requests[seen]
    assert request.method == method
    assert len(request.fields.values("Host")) == 1
    origin.check()
