"""A server that lies about pieces harms its own responses and nothing else."""

import pytest

from tests.support.cache import reverse_stage
from tests.support.client import Client, chunked
from tests.support.origin import Exchange
from tests.support.stream import Closed

HEAD = b'HTTP/1.1 206 Part\r\nCache-Control: max-age=600\r\nETag: "a"\r\nContent-Range: bytes 0-65535/200000\r\n'


@pytest.mark.parametrize("body", [b"Content-Length: 10\r\n\r\n0123456789", b"Transfer-Encoding: chunked\r\n\r\n"])
def test_a_piece_that_is_too_short(body: bytes) -> None:
    def handler(exchange: Exchange) -> None:
        exchange.read_body()
        exchange.send(HEAD + body + (chunked(b"0123456789") if b"chunked" in body else b""))

    with reverse_stage(slice="64KiB") as on:
        on.origin.on("/x", handler)
        for _ in range(2):
            with Client(on.proxy.port) as client:
                on.request(client, "/x", "Range: bytes=0-100")
                with pytest.raises(Closed):
                    client.response()
        assert "panicked" not in on.proxy.stderr
