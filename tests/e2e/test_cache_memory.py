"""What the cache keeps in memory is bounded, whatever clients and origins do."""

import os
import threading
from contextlib import ExitStack

from tests.support.cache import Answer, reverse_stage, route, stats
from tests.support.client import Client
from tests.support.flood import QuickOrigin, flood
from tests.support.origin import Exchange
from tests.support.proxy import Proxy, resident, reverse
from tests.support.wait import settled, until

DAY = "Cache-Control: max-age=86400"
MIB = 1 << 20


class Endless:
    """Sends chunks as fast as they are taken, and counts them."""

    def __init__(self, *lines: str, megabytes: int) -> None:
        self.head = "".join(f"{line}\r\n" for line in ("HTTP/1.1 200 OK", *lines, "Transfer-Encoding: chunked"))
        self.megabytes, self.sent = megabytes, 0
        self.lock = threading.Lock()

    def __call__(self, exchange: Exchange) -> None:
        exchange.read_body()
        exchange.send(self.head.encode() + b"\r\n")
        for _ in range(self.megabytes):
            exchange.send(b"100000\r\n" + bytes(MIB) + b"\r\n")
            with self.lock:
                self.sent += 1
        exchange.send(b"0\r\n\r\n")


def test_objects_stay_within_what_is_configured() -> None:
    body = os.urandom(100_000)
    with reverse_stage({"cache": {"memory": "8MiB"}}) as on:
        on.origin.default = lambda exchange: Answer(200, (DAY,)).send(exchange, body)
        for number in range(300):
            assert len(on.ask(f"/{number}").body) == len(body)
        now = stats(on.proxy)
        assert now["disk"] is None
        assert 4 * MIB <= now["memory"]["bytes"] <= 8 * MIB * 1.05
        assert now["evicted"] >= 200


def test_slow_readers_do_not_fill_the_memory() -> None:
    """What arrives for clients that do not read counts as well, or waits at the origin."""
    with reverse_stage({"cache": {"memory": "16MiB"}}) as on, ExitStack() as stack:
        endless = Endless(DAY, megabytes=60)
        on.origin.default = endless
        before = resident(on.proxy)
        for number in range(12):
            client = stack.enter_context(Client(on.proxy.port))
            on.request(client, f"/{number}")
            assert client.head().status == 200
        settled(lambda: endless.sent, still=1.0, seconds=60)
        assert resident(on.proxy) - before < 160 * MIB, "16 MiB may be kept; 12 clients read nothing"


def test_a_slow_reader_of_what_is_not_stored_is_waited_for() -> None:
    with reverse_stage() as on, Client(on.proxy.port) as client:
        endless = Endless("Cache-Control: no-store", megabytes=200)
        on.origin.on("/endless", endless)
        before = resident(on.proxy)
        on.request(client, "/endless")
        assert client.head().status == 200
        assert settled(lambda: endless.sent, still=1.0) < 100
        assert resident(on.proxy) - before < 32 * MIB


def test_what_is_known_of_responses_that_are_not_stored_is_bounded() -> None:
    """That they were not storable is remembered, but not for ever and ever."""
    with QuickOrigin() as origin:
        origin.head = origin.head.replace(b"max-age=86400", b"no-store")
        settings = reverse([origin.address], routes=[route()], cache={"memory": "4MiB"}, logs=[])
        with Proxy(settings) as proxy:
            assert flood(proxy.port, [f"/first/{number}" for number in range(20_000)]) == 0
            before = resident(proxy)
            assert flood(proxy.port, [f"/second/{number}" for number in range(100_000)]) == 0
            assert resident(proxy) - before < 16 * MIB


def test_variants_of_one_resource_are_bounded() -> None:
    with reverse_stage({"cache": {"memory": "4MiB"}}) as on, Client(on.proxy.port) as client:
        on.on("/x", DAY, "Vary: X-A", body=bytes(5_000))
        for number in range(3_000):
            on.request(client, "/x", f"X-A: {number}")
            assert len(client.response().body) == 5_000
        assert stats(on.proxy)["memory"]["bytes"] <= 4 * MIB * 1.05


def test_room_is_given_back_after_a_purge() -> None:
    body = os.urandom(100_000)
    with reverse_stage({"cache": {"memory": "16MiB"}}) as on:
        on.origin.default = lambda exchange: Answer(200, (DAY,)).send(exchange, body)
        for number in range(100):
            on.ask(f"/{number}")
        assert stats(on.proxy)["memory"]["bytes"] > 8 * MIB
        assert on.proxy.cli("cache", "purge", "--all").returncode == 0
        until(lambda: stats(on.proxy)["memory"]["bytes"] < MIB, "the room")
        assert stats(on.proxy)["memory"]["objects"] == 0
