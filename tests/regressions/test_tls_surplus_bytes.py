"""What a server sends behind its response, unasked, answers nobody's request: over TLS it may be decrypted already."""

import threading

from tests.support.client import Client
from tests.support.origin import Exchange, Origin
from tests.support.proxy import Proxy, reverse
from tests.support.tls import ServerTls, authority

#: Plaintext of the largest record, and what the proxy reads at once.
RECORD = 16_384
FORGED = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"


def test_surplus_in_a_second_record_is_not_the_next_answer() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %05d\r\n\r\n"
    size = RECORD - len(head % 0)

    sent = threading.Semaphore(0)

    def surplus(exchange: Exchange) -> None:
        exchange.read_body()
        # one write makes two records, one behind the other
        exchange.send(head % size + b"x" * size + FORGED)
        sent.release()

    pool = {"tls": {"ca": str(authority().file)}, "protocol": "http/1.1"}
    with Origin(tls=ServerTls()) as origin:
        origin.on("/surplus", surplus)
        with Proxy(reverse([origin.address], pool=pool, workers=1)) as proxy:
            for _ in range(5):
                with Client(proxy.port) as one, Client(proxy.port) as other:
                    assert len(one.ask("GET", "/surplus").body) == size
                    # what is sent later than a request could be its answer for all that anyone can tell
                    assert sent.acquire(timeout=10)
                    assert other.ask("GET", "/victim").body == b"origin GET /victim"
