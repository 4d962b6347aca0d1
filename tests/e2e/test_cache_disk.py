"""What is on disk: kept over a restart and a crash, never wrong, within its bounds, and no reason to stop."""

import contextlib
import hashlib
import os
import random
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.cache import Answer, Kept, route, stats
from tests.support.client import Client, fetch
from tests.support.flood import QuickOrigin, body_of, flood
from tests.support.origin import Exchange, Origin
from tests.support.proxy import Config, Proxy, resident, reverse
from tests.support.stream import Closed
from tests.support.wait import Together, until

DAY = "Cache-Control: max-age=86400"
MIB = 1 << 20


def content(path: str) -> bytes:
    """A body that only this path has, of 100 bytes to 200 KB."""
    seed = hashlib.sha256(path.encode()).digest()
    size = 100 + int.from_bytes(seed[:4], "big") % (200_000 if seed[4] % 4 == 0 else 5_000)
    return (seed * (size // 32 + 1))[:size]


def answer(exchange: Exchange) -> None:
    Answer(200, (DAY, f'ETag: "{exchange.request.target}"')).send(exchange, content(exchange.request.target))


def config(origin: Origin, folder: Path, *, memory: str = "1MiB", size: str = "64MiB", **top: object) -> Config:
    cache = {"memory": memory, "disk": {"path": str(folder), "size": size}}
    return reverse([origin.address], routes=[route()], cache=cache, **top)


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin(handler=answer) as origin:
        yield origin


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def used(folder: Path) -> int:
    """Bytes of all files; some go while they are counted."""
    total = 0
    for file in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            total += file.stat().st_size
    return total


def check(proxy: Proxy, paths: list[str]) -> None:
    """Every answer is right, wherever it comes from."""
    for path in paths:
        response = fetch(proxy.port, path)
        assert (response.status, response.body) == (200, content(path)), path


def objects_on_disk(proxy: Proxy) -> int:
    return int(stats(proxy)["disk"]["objects"])


def test_it_is_kept_over_a_restart(origin: Origin, folder: Path) -> None:
    paths = [f"/kept/{number}" for number in range(200)]
    with Proxy(config(origin, folder)) as proxy:
        check(proxy, paths)
    asked = len(origin.requests)
    with Proxy(config(origin, folder)) as proxy:
        check(proxy, paths)
        assert len(origin.requests) == asked
        response = fetch(proxy.port, paths[0], [("If-None-Match", f'"{paths[0]}"')])
        assert response.status == 304
        assert int(response.fields.get("Age") or "-1") >= 0


def test_the_folder_is_the_owners_alone(origin: Origin, folder: Path) -> None:
    with Proxy(config(origin, folder)) as proxy:
        check(proxy, ["/mode"])
        assert folder.stat().st_mode & 0o777 == 0o700
        assert all(file.stat().st_mode & 0o077 == 0 for file in folder.rglob("*"))


def test_freshness_goes_on_while_it_is_stopped(folder: Path) -> None:
    """Ages count from the clock, not from the start of the process."""
    cache = {"disk": {"path": str(folder), "size": "64MiB"}}
    with Origin() as origin:
        settings = reverse([origin.address], routes=[route()], cache=cache)
        origin.on("/age", lambda exchange: Answer(200, (DAY, "Age: 1000")).send(exchange, b"x"))
        origin.on("/old", lambda exchange: Answer(200, ("Cache-Control: max-age=1",)).send(exchange, b"x"))
        with Proxy(settings) as proxy:
            fetch(proxy.port, "/age")
            fetch(proxy.port, "/old")
        with Proxy(settings) as proxy:
            assert int(fetch(proxy.port, "/age").fields.get("Age") or "0") >= 1000

            def asked_again() -> bool:
                fetch(proxy.port, "/old")
                return len(origin.seen("/old")) >= 2

            until(asked_again, "it to be stale")


def test_killed_when_it_was_written(origin: Origin, folder: Path) -> None:
    """What was written is there after kill -9."""
    paths = [f"/written/{number}" for number in range(100)]
    with Kept(config(origin, folder)) as proxy:
        check(proxy, paths)
        until(lambda: objects_on_disk(proxy) >= len(paths), "the writer")
        proxy.process.kill()
        proxy.process.wait()
    asked = len(origin.requests)
    with Proxy(config(origin, folder)) as proxy:
        check(proxy, paths)
        assert len(origin.requests) == asked


def crash(settings: Config, origin: Origin, paths: list[str], after: int) -> None:
    """Four clients ask; it is killed when the origin has seen so many more requests."""
    with Kept(settings) as proxy:
        left = iter(paths)

        def some(_: int) -> None:
            for path in left:
                try:
                    body = fetch(proxy.port, path).body
                except (Closed, OSError, AssertionError):  # the kill
                    return
                assert body == content(path)

        before = len(origin.requests)
        workers = Together(some, 4)
        until(lambda: len(origin.requests) - before >= after, "requests", 60)
        proxy.process.kill()
        proxy.process.wait()
        workers.join()


@pytest.mark.parametrize("after", [20, 150, 600])
def test_killed_while_it_writes(origin: Origin, folder: Path, after: int) -> None:
    """Every answer after that is right or comes from the origin. Twice, so that it begins with torn files too."""
    paths = [f"/torn/{number}" for number in range(2000)]
    crash(config(origin, folder), origin, paths[:1000], after)
    crash(config(origin, folder), origin, paths[1000:], after)
    with Proxy(config(origin, folder)) as proxy:
        check(proxy, paths)


@pytest.mark.parametrize("seed", range(4))
def test_corrupted_bytes_are_a_miss(origin: Origin, folder: Path, seed: int) -> None:
    paths = [f"/corrupt/{number}" for number in range(200)]
    with Proxy(config(origin, folder)) as proxy:
        check(proxy, paths)
    asked, chance = len(origin.requests), random.Random(seed)
    for file in sorted(file for file in folder.rglob("*") if file.is_file() and file.stat().st_size):
        data = bytearray(file.read_bytes())
        for _ in range(max(4, len(data) // 20_000)):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        file.write_bytes(data)
    with Proxy(config(origin, folder)) as proxy:
        check(proxy, paths)
        assert len(origin.requests) > asked, "something was hit"
        check(proxy, paths)


@pytest.mark.parametrize("how", ["cut", "emptied", "garbage", "removed"])
def test_damaged_files_are_no_reason_to_stop(origin: Origin, folder: Path, how: str) -> None:
    paths = [f"/damaged/{number}" for number in range(100)]
    with Proxy(config(origin, folder)) as proxy:
        check(proxy, paths)
    for number, file in enumerate(sorted(file for file in folder.rglob("*") if file.is_file())):
        if how == "cut":
            os.truncate(file, file.stat().st_size * 2 // 3)
        elif how == "emptied":
            os.truncate(file, 0)
        elif how == "garbage":
            file.write_bytes(os.urandom(file.stat().st_size))
        elif number % 2 == 0:
            file.unlink()
    with Proxy(config(origin, folder)) as proxy:
        check(proxy, paths)
        check(proxy, paths)


def test_damage_while_it_runs(origin: Origin, folder: Path) -> None:
    paths = [f"/live/{number}" for number in range(200)]
    with Proxy(config(origin, folder)) as proxy:
        check(proxy, paths)
        until(lambda: objects_on_disk(proxy) >= len(paths), "the writer")
        for file in folder.rglob("*"):
            if file.is_file() and file.stat().st_size > 1000:
                with file.open("r+b") as opened:
                    for at in range(500, file.stat().st_size, 3_000):
                        opened.seek(at)
                        opened.write(b"\xff\x00\xff\x00")
        check(proxy, paths)


def test_an_object_larger_than_memory(folder: Path) -> None:
    """It never sits there whole, and it is served from the disk."""
    block, count = os.urandom(MIB), 48
    digest = hashlib.sha256(block * count).digest()

    def large(exchange: Exchange) -> None:
        exchange.read_body()
        exchange.send(f"HTTP/1.1 200 OK\r\n{DAY}\r\nContent-Length: {count * MIB}\r\n\r\n".encode())
        for _ in range(count):
            exchange.send(block)

    with Origin(handler=large) as origin, Proxy(config(origin, folder, size="256MiB")) as proxy:
        before = resident(proxy)
        for path in ("/large", "/large", "/large"):
            assert hashlib.sha256(fetch(proxy.port, path).body).digest() == digest
        part = fetch(proxy.port, "/large", [("Range", f"bytes={40 * MIB}-{40 * MIB + 9}")])
        assert (part.status, part.body) == (206, block[:10])
        assert resident(proxy) - before < 24 * MIB
        assert len(origin.requests) == 1
        assert stats(proxy)["memory"]["bytes"] <= MIB * 1.05


def test_sizes_are_kept(folder: Path) -> None:
    """Far more is stored than fits: both tiers stay within 5 % of what was configured."""
    body = os.urandom(100_000)
    with Origin(handler=lambda exchange: Answer(200, (DAY,)).send(exchange, body)) as origin:
        settings = config(origin, folder, memory="8MiB", size="32MiB")
        with Proxy(settings) as proxy:

            def some(index: int) -> None:
                for number in range(200):
                    assert len(fetch(proxy.port, f"/{index}/{number}").body) == len(body)
                    assert used(folder) <= 32 * MIB * 1.05

            Together(some, 4).join()
            now = stats(proxy)
            assert now["memory"]["bytes"] <= now["memory"]["limit"] * 1.05
            assert now["disk"]["bytes"] <= now["disk"]["limit"] * 1.05
            assert now["memory"]["limit"] == 8 * MIB
            assert now["disk"]["limit"] == 32 * MIB
            assert now["disk"]["bytes"] >= 16 * MIB, "the room is used"
        assert used(folder) <= 32 * MIB * 1.05


def unstoppable(proxy: Proxy, origin: Origin, folder: Path) -> None:
    """It says that the disk does not work, and goes on from memory."""
    paths = [f"/degraded/{number}" for number in range(60)]
    check(proxy, paths)
    until(lambda: f"{folder}: the disk" in proxy.stderr, "a warning", 30)
    check(proxy, paths)
    fetch(proxy.port, "/one")
    before = len(origin.requests)
    assert fetch(proxy.port, "/one").body == content("/one")
    assert len(origin.requests) == before, "memory still caches"
    assert stats(proxy)["disk"]["state"] in ("full", "read_only", "failed")


def test_a_disk_that_takes_no_more(origin: Origin, folder: Path) -> None:
    """No file may grow beyond 64 KiB here."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, 65_536))

    settings = config(origin, folder, logs=[{"to": "stdout", "format": "json"}])
    with Proxy(settings, preexec=limit, stdout=subprocess.DEVNULL) as proxy:
        unstoppable(proxy, origin, folder)


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk(origin: Origin, folder: Path) -> None:
    with mounted(folder, "size=256k"), Proxy(config(origin, folder)) as proxy:
        unstoppable(proxy, origin, folder)


def test_a_disk_that_is_read_only(origin: Origin, folder: Path) -> None:
    """It starts, says so, and caches in memory; whatever it answers is right."""
    paths = [f"/before/{number}" for number in range(100)]
    with mounted(folder, "size=64m"):
        with Proxy(config(origin, folder)) as proxy:
            check(proxy, paths)
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        with Proxy(config(origin, folder)) as proxy:
            unstoppable(proxy, origin, folder)
            check(proxy, paths)


def test_a_second_process_does_not_share_the_folder(origin: Origin, folder: Path) -> None:
    """It says so, and harms nothing."""
    with Proxy(config(origin, folder)) as proxy:
        check(proxy, ["/mine"])
        second = Proxy(config(origin, folder), wait=False)
        try:
            until(lambda: second.process.poll() is not None or "cache" in second.stderr, "a word about it", 30)
        finally:
            second.kill()
        check(proxy, ["/mine", "/other"])
        assert len(origin.seen("/mine")) == 1


def test_a_folder_that_cannot_be_made(origin: Origin, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    proxy = Proxy(config(origin, tmp_path / "file" / "cache"), wait=False)
    try:
        until(lambda: proxy.process.poll() is not None or "cache" in proxy.stderr, "a word about it", 30)
        assert str(tmp_path / "file") in proxy.stderr
        assert "Traceback" not in proxy.stderr
    finally:
        proxy.kill()


@pytest.mark.timeout(180)
def test_a_restart_with_100_000_objects(folder: Path) -> None:
    paths = [f"/many/{number}" for number in range(100_000)]
    with QuickOrigin() as origin:
        cache = {"memory": "16MiB", "disk": {"path": str(folder), "size": "256MiB"}}
        settings = reverse([origin.address], routes=[route()], cache=cache, logs=[])
        with Proxy(settings) as proxy:
            assert flood(proxy.port, paths) == 0
            assert origin.asked == len(paths)
        with Proxy(settings) as proxy:
            assert objects_on_disk(proxy) >= len(paths) * 0.99
            assert flood(proxy.port, paths) == 0
            again = origin.asked - len(paths)
            assert again <= len(paths) * 0.01, f"{again} of {len(paths)} were fetched again"


def test_a_reload_keeps_what_is_stored(origin: Origin, folder: Path) -> None:
    with Proxy(config(origin, folder)) as proxy:
        paths = [f"/reload/{number}" for number in range(20)]
        check(proxy, paths)
        proxy.config["reverse"]["routes"][0]["timeout"] = {"idle": "33s"}
        done = proxy.reload()
        assert done.returncode == 0, done.stderr
        before = len(origin.requests)
        check(proxy, paths)
        assert len(origin.requests) == before


def test_reading_goes_on_while_it_is_evicted(folder: Path) -> None:
    """A slow reader of what leaves the disk meanwhile gets all of it."""
    body = os.urandom(4 * MIB)
    with (
        Origin(handler=lambda exchange: Answer(200, (DAY,)).send(exchange, body)) as origin,
        Proxy(config(origin, folder, size="16MiB")) as proxy,
        Client(proxy.port) as client,
    ):
        assert fetch(proxy.port, "/slow").body == body
        client.request("GET", "/slow")
        assert client.head().status == 200
        for number in range(12):
            assert fetch(proxy.port, f"/other/{number}").body == body
        assert client.read_exactly(len(body)) == body


def test_the_quick_origin_and_its_client() -> None:
    """The flood notices what is wrong."""
    with QuickOrigin() as origin:
        port = int(origin.address.rpartition(":")[2])
        assert flood(port, ["/a", "/b"]) == 0
        assert body_of("/a") != body_of("/b")
        origin.head = origin.head.replace(b"200 OK", b"404 No")
        assert flood(port, ["/a", "/b"]) == 2
