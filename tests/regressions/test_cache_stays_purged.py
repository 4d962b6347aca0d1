"""What was made invalid is not served again."""

import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from tests.support.cache import Stage, reverse_stage, route
from tests.support.client import Client
from tests.support.origin import Exchange, Origin
from tests.support.proxy import Proxy, reverse
from tests.support.wait import until, wait_for

HOUR = "Cache-Control: max-age=3600"
FROM_LOOPBACK = {"purge": {"clients": ["127.0.0.1"]}}
CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
int clock_gettime(clockid_t clock, struct timespec *time) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, time);
    FILE *file = clock == CLOCK_REALTIME ? fopen(getenv("SET_BACK"), "r") : NULL;
    long by = 0;
    if (file) { if (fscanf(file, "%ld", &by) != 1) by = 0; fclose(file); }
    time->tv_sec -= by;
    return result;
}
"""


class SetBack:
    """A clock of the system for one process, which can be set back while it runs."""

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc")
        if compiler is None:
            pytest.skip("no C compiler here")
        source, library, self.by = folder / "clock.c", folder / "clock.so", folder / "by"
        source.write_text(CLOCK)
        subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
        self.to(0)
        self.environment = {"LD_PRELOAD": str(library), "SET_BACK": str(self.by)}

    def to(self, seconds: int) -> None:
        part = self.by.with_suffix(".part")
        part.write_text(str(seconds))
        part.replace(self.by)


def test_an_unsafe_request_behind_a_proxy_that_tells_the_port() -> None:
    """RFC 9111, section 4.4: what is stored under the target is invalid. Many load balancers tell the port."""
    with reverse_stage({"trusted_proxies": ["127.0.0.1"]}) as on:
        on.on("/x", HOUR)
        on.ask("/x", "X-Forwarded-Port: 443")
        assert on.ask("/x", "X-Forwarded-Port: 443", method="POST", body=b"x").status == 200
        on.ask("/x", "X-Forwarded-Port: 443")
        assert on.asked("/x") == 3


def test_a_purge_while_a_fetch_is_slow_and_many_post() -> None:
    rest = threading.Event()

    def slow(exchange: Exchange) -> None:
        exchange.read_body()
        exchange.send(f"HTTP/1.1 200 OK\r\n{HOUR}\r\nContent-Length: 30000\r\n\r\n".encode() + bytes(10_000))
        wait_for(rest, "the test")
        exchange.send(bytes(20_000))

    with reverse_stage({"cache": FROM_LOOPBACK}) as on, Client(on.proxy.port) as first, Client(on.proxy.port) as many:
        on.origin.on("/x", slow)
        on.request(first, "/x")
        head = first.head()
        assert on.ask("/x", method="PURGE").status == 200
        for number in range(1_100):
            assert many.ask("POST", f"/post/{number}", body=b"x").status == 200
        rest.set()
        first.read_body(head)
        on.on("/x", HOUR, body=b"new")
        assert on.ask("/x").body == b"new"


def test_a_purge_after_the_clock_was_set_back(tmp_path: Path) -> None:
    clock = SetBack(tmp_path)
    with Origin() as origin, Proxy(reverse([origin.address], routes=[route()]), env=clock.environment) as proxy:
        on = Stage(proxy, origin)
        on.on("/x", HOUR)
        on.ask("/x")
        clock.to(3_600)
        done = proxy.cli("cache", "purge", "--url", "http://test.example/x")
        assert (done.returncode, done.stdout.strip()) == (0, "1 purged"), done.stderr


def test_a_response_that_was_stored_in_the_future(tmp_path: Path) -> None:
    """A clock that was a year ahead is put right while the proxy is down."""
    clock = SetBack(tmp_path)
    clock.to(-365 * 86_400)
    with Origin() as origin:
        settings = reverse([origin.address], routes=[route()], cache={"disk": {"path": str(tmp_path / "cache")}})
        for number in range(2):
            with Proxy(settings, env=clock.environment) as proxy:
                on = Stage(proxy, origin)
                on.on("/x", "Cache-Control: max-age=1")
                on.ask("/x")
                if number:
                    until(lambda on=on: on.ask("/x") and on.asked("/x") > 1, "the end of its second", 4)  # type: ignore[misc]
            clock.to(0)


def test_a_purge_with_a_body_by_a_client_who_may_not() -> None:
    with reverse_stage() as on:
        assert on.ask("/x", method="PURGE").status == 403
        assert on.ask("/x", method="PURGE", body=b"x").status != 200
        assert on.asked("/x") == 0
