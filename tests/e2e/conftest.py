"""The whole program, from the outside."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.http2_origin import Http2Origin
from tests.support.proxy import REVIVER, Config, Proxy, reverse


@pytest.fixture(scope="session", autouse=True)
def _program() -> None:
    """A missing program is one clear failure, not hundreds of puzzling ones."""
    if not os.access(REVIVER, os.X_OK):
        pytest.exit(f"{REVIVER} is not there: run `make build` first", returncode=1)


@pytest.fixture
def start_http2() -> Iterator[Callable[..., tuple[Proxy, Http2Origin]]]:
    """Starts an origin of HTTP/2 with some settings and a proxy before it, without TLS."""
    running: list[tuple[Proxy, Http2Origin]] = []

    def begin(top: Config | None = None, **origin: Any) -> tuple[Proxy, Http2Origin]:
        server = Http2Origin(**origin)
        pool = {"protocol": "h2"}
        running.append((Proxy(reverse([server.address], pool=pool, workers=1, **(top or {}))), server))
        return running[-1]

    yield begin
    for proxy, origin in running:
        with origin, proxy:
            pass
