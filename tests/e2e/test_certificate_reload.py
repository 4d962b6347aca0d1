"""Certificates whose files change while the proxy runs: as certbot, Kubernetes and people replace them."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.proxy import ACCESS_LOG, Config, Proxy, free_port
from tests.support.stream import Closed
from tests.support.tls import TlsClient, alice, authority, client_context, mallory, new_authority, stranger
from tests.support.wait import until

SECONDS = 30


def _config(**tls: object) -> Config:
    web = {"bind": f"127.0.0.1:{free_port()}", "role": "reverse", "tls": tls}
    routes = [{"name": "all", "match": {"path": "/*"}, "respond": {"body": "served"}}]
    return {"listeners": {"web": web}, "reverse": {"routes": routes}, "logs": ACCESS_LOG}


def _pair(certificate: object, key: object) -> Config:
    return {"certificates": [{"certificate": str(certificate), "key": str(key)}]}


def _shown(proxy: Proxy) -> bytes:
    with TlsClient(proxy.port) as client:
        return client.peer


class Site:
    """A folder with the files of one certificate, and another one that takes their place."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.first, self.second = (authority().leaf("test.example") for _ in range(2))
        self.certificate, self.key = folder / "site.pem", folder / "site.key"
        self.certificate.write_bytes(self.first.certificate.read_bytes())
        self.key.write_bytes(self.first.key.read_bytes())

    def write(self) -> None:
        self.key.write_bytes(self.second.key.read_bytes())
        self.certificate.write_bytes(self.second.certificate.read_bytes())

    def replace(self) -> None:
        for source, target in ((self.second.certificate, self.certificate), (self.second.key, self.key)):
            part = target.with_suffix(".part")
            part.write_bytes(source.read_bytes())
            part.replace(target)


def _as_certbot(site: Site) -> Callable[[], None]:
    """live/site.pem is a link to a numbered file in archive/, and is turned to the next one."""
    archive = site.folder / "archive"
    archive.mkdir()
    for number, leaf in ((1, site.first), (2, site.second)):
        (archive / f"cert{number}.pem").write_bytes(leaf.certificate.read_bytes())
        (archive / f"key{number}.pem").write_bytes(leaf.key.read_bytes())

    def turn(number: int) -> None:
        for link, kind in ((site.certificate, "cert"), (site.key, "key")):
            link.unlink()
            link.symlink_to(f"archive/{kind}{number}.pem")

    turn(1)
    return lambda: turn(2)


def _as_kubernetes(site: Site) -> Callable[[], None]:
    """site.pem -> ..data/site.pem, ..data -> a folder that is replaced as a whole."""
    for version, leaf in (("one", site.first), ("two", site.second)):
        (site.folder / version).mkdir()
        (site.folder / version / "site.pem").write_bytes(leaf.certificate.read_bytes())
        (site.folder / version / "site.key").write_bytes(leaf.key.read_bytes())
    (site.folder / "..data").symlink_to("one")
    for path in (site.certificate, site.key):
        path.unlink()
        path.symlink_to(f"..data/{path.name}")

    def turn() -> None:
        (site.folder / "..new").symlink_to("two")
        (site.folder / "..new").replace(site.folder / "..data")

    return turn


WAYS: dict[str, Callable[[Site], Callable[[], None]]] = {
    "written": lambda site: site.write,
    "replaced": lambda site: site.replace,
    "certbot": _as_certbot,
    "kubernetes": _as_kubernetes,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("arguments", [(), ("--watch",)])
def test_new_files_are_taken_over_however_they_come(tmp_path: Path, way: str, arguments: tuple[str, ...]) -> None:
    site = Site(tmp_path)
    change = WAYS[way](site)
    with Proxy(_config(**_pair(site.certificate, site.key)), arguments=arguments) as proxy:
        assert _shown(proxy) == site.first.der
        change()
        until(lambda: _shown(proxy) == site.second.der, "the new certificate", SECONDS)
        until(lambda: "certificates have changed and are taken over" in proxy.stderr, "a word about it", SECONDS)
        assert "cannot be used" not in proxy.stderr


def test_no_connection_is_dropped(tmp_path: Path) -> None:
    site = Site(tmp_path)
    stop = threading.Event()
    failures: list[str] = []
    served: list[bytes] = []

    def hammering() -> None:
        while not stop.is_set():
            try:
                with TlsClient(proxy.port) as client:
                    if client.ask().body != b"served":
                        failures.append("another answer")
                    served.append(client.peer)
            except (OSError, Closed) as error:
                failures.append(repr(error))

    with Proxy(_config(**_pair(site.certificate, site.key))) as proxy, TlsClient(proxy.port) as kept:
        threads = [threading.Thread(target=hammering) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for leaf in (site.second, site.first, site.second):
                site.second = leaf
                site.replace()
                until(lambda der=leaf.der: der in served[-1:], "the new certificate", SECONDS)  # type: ignore[misc]
        finally:
            stop.set()
            for thread in threads:
                thread.join(SECONDS)
        assert failures == []
        # a connection that was open all the time
        assert kept.ask().body == b"served"


def test_a_key_that_does_not_fit_is_awaited(tmp_path: Path) -> None:
    """The certificate comes first; until its key is there the old pair serves, and nothing is said."""
    site = Site(tmp_path)
    with Proxy(_config(**_pair(site.certificate, site.key))) as proxy:
        epoch = proxy.status()["epoch"]
        site.certificate.write_bytes(site.second.certificate.read_bytes())
        assert _shown(proxy) == site.first.der
        site.key.write_bytes(site.second.key.read_bytes())
        until(lambda: _shown(proxy) == site.second.der, "the new certificate", SECONDS)
        assert proxy.status()["epoch"] == epoch + 1


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda site: site.certificate.write_bytes(site.second.certificate.read_bytes()), "is not that of the"),
        (lambda site: site.certificate.write_text("nonsense"), "is not PEM text"),
        (lambda site: site.key.unlink(), "does not exist"),
    ],
    ids=["another key", "nonsense", "missing"],
)
def test_files_that_cannot_be_used_change_nothing_and_are_told_once(
    tmp_path: Path, spoil: Callable[[Site], object], said: str
) -> None:
    site = Site(tmp_path)
    with Proxy(_config(**_pair(site.certificate, site.key))) as proxy:
        spoil(site)
        until(lambda: "cannot be used; the old ones stay" in proxy.stderr, "the warning", SECONDS)
        assert said in proxy.stderr
        assert str(tmp_path) in proxy.stderr
        assert _shown(proxy) == site.first.der
        # repaired, it is taken over; the warning was said once
        site.replace()
        until(lambda: _shown(proxy) == site.second.der, "the new certificate", SECONDS)
        assert proxy.stderr.count("the old ones stay") == 1


def test_the_configuration_itself_is_not_read_without_watch(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with Proxy(_config(**_pair(site.certificate, site.key))) as proxy:
        proxy.path.write_text("{")
        site.replace()
        until(lambda: _shown(proxy) == site.second.der, "the new certificate", SECONDS)


def test_authorities_of_clients_are_taken_over_too(tmp_path: Path) -> None:
    ca = tmp_path / "clients.pem"
    ca.write_bytes(authority().file.read_bytes())
    site = Site(tmp_path)
    with Proxy(_config(**_pair(site.certificate, site.key), client_ca=str(ca))) as proxy:
        assert _accepted(proxy, alice())
        assert not _accepted(proxy, mallory())
        ca.write_bytes(stranger().file.read_bytes())
        until(lambda: _accepted(proxy, mallory()), "the other authority to count", SECONDS)
        assert not _accepted(proxy, alice())


def _accepted(proxy: Proxy, leaf: object) -> bool:
    context = client_context(certificate=leaf)  # type: ignore[arg-type]
    try:
        with TlsClient(proxy.port, context=context) as client:
            return client.ask().body == b"served"
    except (OSError, Closed):
        return False


def test_files_that_a_reload_adds_are_followed(tmp_path: Path) -> None:
    site = Site(tmp_path)
    plain = _config()
    del plain["listeners"]["web"]["tls"]
    with Proxy(plain) as proxy:
        proxy.config["listeners"]["web"]["tls"] = _pair(site.certificate, site.key)
        assert proxy.reload().returncode == 0
        assert _shown(proxy) == site.first.der
        site.replace()
        until(lambda: _shown(proxy) == site.second.der, "the new certificate", SECONDS)


def test_warnings_come_at_each_start_and_reload(tmp_path: Path) -> None:
    old = new_authority("Old").leaf("test.example", expired=True)
    with Proxy(_config(**_pair(old.certificate, old.key))) as proxy:
        assert proxy.stderr.count("has expired") == 1
        done = proxy.reload()
        assert done.returncode == 0
        assert "has expired" in done.stderr
        assert proxy.stderr.count("has expired") == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_key_that_only_root_can_read_is_told_when_root_is_given_up(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
    site = Site(tmp_path)
    site.key.chmod(0o600)
    config = {**_config(**_pair(site.certificate, site.key)), "user": "nobody"}
    del config["logs"]
    with Proxy(config) as proxy:
        assert _shown(proxy) == site.first.der
        assert f"{site.key} cannot be read as nobody:" in proxy.stderr
        assert f"{site.certificate} cannot be read" not in proxy.stderr
