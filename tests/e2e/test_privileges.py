"""Started as root and told to be somebody else: every thread is, for good, and it still works."""

import os
import pwd
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import Client, fetch
from tests.support.origin import Origin
from tests.support.proxy import Proxy, free_port, reverse
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
