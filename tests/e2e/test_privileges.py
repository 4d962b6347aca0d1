"""Started as root and told to be somebody else: every thread is, for good, and it still works."""

import json
import os
import pwd
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import Client, fetch
from tests.support.origin import Origin, responds
from tests.support.proxy import Config, Proxy, free_port, reverse
from tests.support.wait import until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give it up")

NOBODY = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture
def proxy(origin: Origin) -> Iterator[Proxy]:
    with Proxy({**reverse([origin.address]), "user": "nobody"}) as proxy:
        proxy.folder.chmod(0o755)
        yield proxy


def identities(pid: int) -> set[tuple[str, str, str]]:
    """Users, groups and capabilities of every thread."""
    found = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        lines = dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines() if ":\t" in line)
        found.add((lines["Uid"], lines["Gid"], lines["CapEff"]))
    return found


def test_every_thread_has_given_up_root(proxy: Proxy) -> None:
    assert fetch(proxy.port).status == 200
    assert len(list(Path(f"/proc/{proxy.pid}/task").iterdir())) > 2
    uid, gid = "\t".join([str(NOBODY.pw_uid)] * 4), "\t".join([str(NOBODY.pw_gid)] * 4)
    assert identities(proxy.pid) == {(uid, gid, "0" * 16)}
    assert "0" not in (Path(f"/proc/{proxy.pid}/status").read_text().split("Groups:")[1].splitlines()[0].split())


def test_the_log_goes_on_and_can_be_reopened(proxy: Proxy) -> None:
    fetch(proxy.port, "/one")
    proxy.wait_records(lambda record: record.get("path") == "/one")
    assert (proxy.folder / "access.log").stat().st_uid == NOBODY.pw_uid
    proxy.signal(signal.SIGUSR1)
    fetch(proxy.port, "/two")
    assert len(proxy.wait_records(lambda record: True, 2)) == 2


def test_it_can_be_reloaded_and_asked(proxy: Proxy) -> None:
    assert proxy.status()["user"] == f"nobody:{proxy.status()['user'].partition(':')[2]}"
    proxy.config["listeners"]["more"] = {"bind": f"127.0.0.1:{free_port()}", "role": "reverse"}
    done = proxy.reload()
    assert done.returncode == 0, done.stderr
    assert fetch(proxy.addresses()[1][1]).status == 200


def test_it_says_so(proxy: Proxy) -> None:
    until(lambda: "nobody" in proxy.stderr, "the user in the start message")


@pytest.fixture
def storing() -> Iterator[Origin]:
    """What it says may be stored."""
    with Origin() as origin:
        origin.on("/kept", responds(200, b"kept", ("Cache-Control", "max-age=600")))
        yield origin


@pytest.fixture
def around() -> Iterator[Path]:
    """A folder of root's that others can pass through."""
    with tempfile.TemporaryDirectory(prefix="rv-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def cached(origin: Origin, folder: Path | str = "store") -> Config:
    disk = {"path": str(folder), "size": "1GiB"}
    config = {**reverse([origin.address]), "user": "nobody", "cache": {"disk": disk}}
    config["reverse"]["routes"][0]["cache"] = True
    return config


def wait_stored(proxy: Proxy) -> None:
    """Until the one response is on disk."""

    def stored() -> bool:
        disk = json.loads(proxy.cli("cache", "stats", "--json").stdout)["disk"]
        assert disk["state"] == "ok"
        return bool(disk["objects"] == 1)

    until(stored, "an object on disk")


def all_are_nobodys(folder: Path) -> bool:
    return {path.lstat().st_uid for path in (folder, *folder.iterdir())} == {NOBODY.pw_uid}


def test_the_cache_on_disk_is_the_users_and_is_found_again(storing: Origin, around: Path) -> None:
    config = cached(storing, around / "store")
    for _ in range(2):
        with Proxy(config) as proxy:
            assert fetch(proxy.port, "/kept").body == b"kept"
            wait_stored(proxy)
            assert all_are_nobodys(around / "store")
            assert (around / "store").stat().st_mode & 0o777 == 0o700
    assert len(storing.requests) == 1


def test_what_root_has_stored_is_given_to_the_user(storing: Origin, around: Path) -> None:
    config = cached(storing, around / "store")
    for user in ("root", "nobody"):
        with Proxy({**config, "user": user}) as proxy:
            assert fetch(proxy.port, "/kept").body == b"kept"
            wait_stored(proxy)
    assert len(storing.requests) == 1
    assert all_are_nobodys(around / "store")


def test_links_in_the_folder_of_the_cache_harm_nothing_of_roots(storing: Origin, around: Path) -> None:
    folder, secret = around / "store", around / "secret"
    folder.mkdir(mode=0o700)
    secret.write_text("of root")
    secret.chmod(0o600)
    for name in ("lock", "segment-0", "object-1"):
        (folder / name).symlink_to(secret)
    os.chown(folder, NOBODY.pw_uid, NOBODY.pw_gid)
    with Proxy(cached(storing, folder)) as proxy:
        assert fetch(proxy.port, "/kept").body == b"kept"
        until(lambda: "the cache goes on without a disk" in proxy.stderr, "the warning")
    assert (secret.read_text(), secret.stat().st_uid) == ("of root", 0)


def test_a_disk_that_comes_by_a_reload_is_the_users(storing: Origin) -> None:
    config = cached(storing)
    config["cache"] = {}
    with Proxy(config) as proxy:
        place = proxy.folder / "var"
        place.mkdir()
        os.chown(place, NOBODY.pw_uid, NOBODY.pw_gid)
        proxy.config["cache"] = {"disk": {"path": "var/store", "size": "1GiB"}}
        done = proxy.reload()
        assert done.returncode == 0, done.stderr
        fetch(proxy.port, "/kept")
        wait_stored(proxy)
        assert all_are_nobodys(place / "store")


def test_a_disk_out_of_the_users_reach_is_told_where_it_is_named(storing: Origin) -> None:
    with Proxy(cached(storing)) as proxy:
        closed = proxy.folder / "closed"
        closed.mkdir(mode=0o700)
        proxy.config["cache"]["disk"]["path"] = "closed/store"
        done = proxy.reload()
        assert done.returncode == 2
        assert f"cache.disk.path: {closed / 'store'} cannot be looked at: Permission denied" in done.stderr
        assert fetch(proxy.port, "/kept").status == 200


def test_a_low_port_is_bound_before(origin: Origin) -> None:
    config = {**reverse([origin.address]), "user": "nobody"}
    config["listeners"]["web"]["bind"] = "127.77.0.1:80"
    with Proxy(config) as proxy:
        with Client(80, host="127.77.0.1") as client:
            assert client.ask("GET", "/low").status == 200
        proxy.config["listeners"]["low"] = {"bind": "127.77.0.1:81", "role": "reverse"}
        done = proxy.reload()
        if done.returncode != 0:
            assert "127.77.0.1:81" in done.stderr
            assert "root" in done.stderr
            del proxy.config["listeners"]["low"]
        with Client(80, host="127.77.0.1") as client:
            assert client.ask("GET", "/still").status == 200
