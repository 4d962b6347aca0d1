"""Certificates of a whole proxy process on the engine's stand-in, which takes any that is in its plan."""

import asyncio
import json
import os
import pwd
import signal
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from reviver.certificates.manager import Manager
from reviver.config import load_file
from reviver.control import certificates as certificates_module
from reviver.control import client, privileges, watch
from reviver.control import proxy as proxy_module
from reviver.control.compiled import compile_loaded
from reviver.control.proxy import Reloaded
from reviver.errors import OperationError
from tests.support.pem import NOW, certificate, ec_key, key_text
from tests.support.stream import PATIENCE
from tests.support.tls import authority, new_authority
from tests.support.wait import until
from tests.unit.control.test_serve import CONFIGURATION, Process, running

LEAF = """
listeners:
  web:
    bind: "127.0.0.1:18443"
    role: reverse
    tls: {certificates: [{certificate: site.pem, key: site.key}]}
"""


def _configured(folder: Path, *, expired: bool = False) -> None:
    _place(folder, expired=expired)
    (folder / "r.yaml").write_text(LEAF + CONFIGURATION.partition("role: reverse}\n")[2])


def _place(folder: Path, *, expired: bool = False) -> None:
    leaf = (new_authority("Old") if expired else authority()).leaf("a.example", expired=expired)
    for source, name in ((leaf.key, "site.key"), (leaf.certificate, "site.pem")):
        part = folder / f".{name}"
        part.write_bytes(source.read_bytes())
        part.replace(folder / name)


def test_new_files_reach_the_engine_without_watch(tmp_path: Path) -> None:
    _configured(tmp_path)
    with running(tmp_path) as proxy:
        _place(tmp_path)
        proxy.wait_said("certificates have changed and are taken over: epoch 2")
        assert proxy.said.count("taken over") == 1
        assert client.ask(proxy.socket, "status")["epoch"] == 2


def test_other_files_are_only_followed_with_watch(tmp_path: Path) -> None:
    _configured(tmp_path)
    with running(tmp_path) as proxy:
        proxy.file.write_text("listeners: {")
        _place(tmp_path)
        proxy.wait_said("taken over: epoch 2")
        assert "reloading" not in proxy.said


def test_with_watch_a_change_of_the_certificate_is_no_reload(tmp_path: Path) -> None:
    _configured(tmp_path)
    with running(tmp_path, "--watch") as proxy:
        _place(tmp_path)
        proxy.wait_said("taken over: epoch 2")
        assert "reloading" not in proxy.said
        proxy.file.write_text(proxy.file.read_text().replace("127.0.0.1:1", "127.0.0.1:2"))
        proxy.wait_said("reloaded: epoch 3")


def test_what_the_engine_refuses_is_told_and_the_old_one_stays(tmp_path: Path) -> None:
    _configured(tmp_path)
    with running(tmp_path, refuse_apply=f"{tmp_path}/site.pem: an odd key") as proxy:
        _place(tmp_path)
        proxy.wait_said("cannot be used; the old ones stay")
        assert "site.pem: an odd key" in proxy.said
        [row] = client.ask(proxy.socket, "certificates")["certificates"]
        assert (row["state"], row["error"]) == ("failing", f"{tmp_path}/site.pem: an odd key")
        assert client.ask(proxy.socket, "status")["epoch"] == 1


def test_warnings_of_certificates_come_at_the_start_and_at_each_reload(tmp_path: Path) -> None:
    _configured(tmp_path, expired=True)
    with running(tmp_path) as proxy:
        assert proxy.said.count("has expired") == 1
        assert "has expired" in client.ask(proxy.socket, "reload")["notes"][0]
        proxy.wait_said("has expired", 2)
        # a new one that is good says nothing; the next that is not, does
        _place(tmp_path)
        proxy.wait_said("taken over: epoch 2")
        assert proxy.said.count("has expired") == 2


def test_one_that_has_expired_does_not_replace_one_that_is_valid(tmp_path: Path) -> None:
    _configured(tmp_path)
    with running(tmp_path) as proxy:
        _place(tmp_path, expired=True)
        proxy.wait_said("certificates have changed and cannot be used; the old ones stay")
        assert "site.pem has expired: it was valid until 2000-03-31 00:00Z (the one that is served is " in proxy.said
        [row] = client.ask(proxy.socket, "certificates")["certificates"]
        assert (row["names"], row["state"]) == (["a.example"], "failing")
        assert row["error"].startswith(f"the certificate in {tmp_path}/site.pem has expired: ")
        assert client.ask(proxy.socket, "status")["epoch"] == 1
        # who asks for it gets it
        client.ask(proxy.socket, "reload")
        [row] = client.ask(proxy.socket, "certificates")["certificates"]
        assert (row["state"], row["error"]) == ("expired", None)
        assert proxy.said.count("cannot be used") == 1


def _pair(folder: Path, days: tuple[int, int]) -> None:
    key = ec_key()
    (folder / "site.pem").write_text(certificate(key, "a.example", days=days))
    (folder / "site.key").write_text(key_text(key))


def test_one_that_is_not_valid_yet_waits_for_its_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine's side of it is a stand-in, and so is the clock: the certificates are judged by the day NOW."""
    monkeypatch.setattr(watch, "TOGETHER", 0.01)
    monkeypatch.setattr(watch, "LOOK_EVERY_MS", 50)
    clock = [NOW]
    for module in (proxy_module, certificates_module):
        monkeypatch.setattr(module, "datetime", SimpleNamespace(now=lambda _: clock[0]))
    _pair(tmp_path, (-30, 60))
    (tmp_path / "r.yaml").write_text(LEAF + CONFIGURATION.partition("role: reverse}\n")[2])
    held = compile_loaded(load_file(tmp_path / "r.yaml", {}))
    _pair(tmp_path, (1, 90))

    class Held:
        compiled = held
        certificates = Manager(print, folder=tmp_path)

        def reread(self) -> Reloaded:
            new = compile_loaded(held.loaded)
            proxy_module._refuse_out_of_date(held, new)
            self.compiled = new
            return Reloaded(2, changed=True, notes=[])

    said: list[str] = []
    ending = asyncio.Event()

    def report(line: str) -> None:
        said.append(line)
        if "cannot be used" in line:
            clock[0] = NOW + timedelta(days=2)
        if "taken over" in line:
            ending.set()

    followed = certificates_module.Certificates(cast(Any, Held()), report).follow(ending)
    asyncio.run(asyncio.wait_for(followed, PATIENCE))
    assert "is not valid yet: it is from 2030-06-02 00:00Z on" in said[0]
    assert said[1:] == [
        "certificates have changed and cannot be used; the old ones stay",
        "certificates have changed and are taken over: epoch 2",
    ]


def test_a_file_that_cannot_be_used_is_shown_beside_the_one_that_is_served(tmp_path: Path) -> None:
    _configured(tmp_path)
    with running(tmp_path) as proxy:
        good = (tmp_path / "site.key").read_bytes()
        (tmp_path / "site.key").write_text("nonsense")
        proxy.wait_said("cannot be used; the old ones stay")
        [row] = client.ask(proxy.socket, "certificates")["certificates"]
        assert (row["names"], row["state"]) == (["a.example"], "failing")
        assert row["error"].startswith(f"{tmp_path}/site.key is not PEM text")
        (tmp_path / "site.key").write_bytes(good)
        until(
            lambda: client.ask(proxy.socket, "certificates")["certificates"][0]["state"] == "valid",
            "the file to be good again",
        )


def test_certificates_are_told_over_the_control_socket(tmp_path: Path) -> None:
    _configured(tmp_path)
    with running(tmp_path) as proxy:
        [row] = client.ask(proxy.socket, "certificates")["certificates"]
        assert (row["listener"], row["names"], row["source"], row["state"]) == (
            "web", ["a.example"], "file", "valid",
        )  # fmt: skip
        assert row["file"] == str(tmp_path / "site.pem")
        with pytest.raises(client.RefusedError, match="no certificate is automatic here"):
            client.ask(proxy.socket, "renew", name="a.example")


AUTOMATIC = """
listeners:
  web:
    bind: "127.0.0.1:18443"
    role: reverse
    tls: {automatic: {domains: a.example, directory: "http://127.0.0.1:1/dir", storage: certificates}}
"""


def _automatic(folder: Path, extra: str = "") -> None:
    (folder / "r.yaml").write_text(AUTOMATIC + CONFIGURATION.partition("role: reverse}\n")[2] + extra)


def test_a_certificate_that_cannot_be_obtained_is_told_and_tried_again(tmp_path: Path) -> None:
    _automatic(tmp_path)
    with running(tmp_path) as proxy:
        proxy.wait_said("a.example: no certificate: http://127.0.0.1:1/dir: Connection refused; next attempt at ")
        until(
            lambda: client.ask(proxy.socket, "certificates")["certificates"][0]["state"] == "failing",
            "the failure to be shown",
        )
        with pytest.raises(client.RefusedError, match="a.example: no certificate: .*: Connection refused"):
            client.ask(proxy.socket, "renew")
        proxy.process.send_signal(signal.SIGHUP)
        proxy.wait_said("nothing has changed: epoch 1")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_the_storage_is_given_to_the_user_and_used_by_it(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
    _automatic(tmp_path, "user: nobody\n")
    with running(tmp_path) as proxy:
        proxy.wait_said("Connection refused; next attempt at ")
        assert "No module named" not in proxy.said
        files = list((tmp_path / "certificates").rglob("*"))
        assert {path.owner() for path in (tmp_path / "certificates", *files)} == {"nobody"}
        assert any(path.suffix == ".key" for path in files)
        state = json.loads(next(path for path in files if path.suffix == ".json").read_text())
        assert state["failures"] == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_storage_that_the_user_cannot_write_to_keeps_it_from_starting(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
    _automatic(tmp_path, "user: nobody\n")
    (tmp_path / "certificates").mkdir()
    (tmp_path / "certificates" / "of somebody else").touch()
    proxy = Process(tmp_path)
    assert proxy.wait() == 1
    assert proxy.said == f"error: storage {tmp_path}/certificates cannot be written to\n"
    assert proxy.calls == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
class TestRoot:
    """What root gives away, and what it does as somebody else."""

    @pytest.fixture
    def nobody(self) -> privileges.Identity:
        found = privileges.identity("nobody", None)
        assert found is not None
        return found

    def test_a_new_folder_is_made_with_the_folders_around_it(self, tmp_path: Path, nobody: privileges.Identity) -> None:
        before = os.umask(0o077)
        try:
            privileges.give_folder(tmp_path / "lib" / "reviver" / "certificates", ("a",).__contains__, nobody)
        finally:
            os.umask(before)
        assert (tmp_path / "lib" / "reviver" / "certificates").owner() == "nobody"
        assert (tmp_path / "lib" / "reviver").owner() == "root"
        assert (tmp_path / "lib").stat().st_mode & 0o777 == 0o755

    def test_what_root_has_put_there_is_given_too(self, tmp_path: Path, nobody: privileges.Identity) -> None:
        (tmp_path / "s" / "a").mkdir(parents=True)
        (tmp_path / "s" / "a" / "key").touch()
        (tmp_path / "outside").touch()
        (tmp_path / "s" / "a" / "link").symlink_to(tmp_path / "outside")
        privileges.give_folder(tmp_path / "s", ("a", "b").__contains__, nobody)
        assert {path.owner() for path in (tmp_path / "s", tmp_path / "s" / "a", tmp_path / "s" / "a" / "key")} == {
            "nobody"
        }
        assert (tmp_path / "outside").owner() == "root"

    @pytest.mark.parametrize("spoil", ["other things", "open to others"])
    def test_what_is_not_the_proxys_alone_stays_roots(
        self, tmp_path: Path, nobody: privileges.Identity, spoil: str
    ) -> None:
        (tmp_path / "s").mkdir()
        if spoil == "other things":
            (tmp_path / "s" / "x").touch()
        else:
            (tmp_path / "s").chmod(0o777)
        privileges.give_folder(tmp_path / "s", ("a",).__contains__, nobody)
        assert (tmp_path / "s").owner() == "root"

    def test_files_are_made_as_somebody_else_for_a_while(self, tmp_path: Path, nobody: privileges.Identity) -> None:
        for folder in (tmp_path, *tmp_path.parents):
            if not folder.stat().st_mode & 0o001:
                folder.chmod(folder.stat().st_mode | 0o011)
        (tmp_path / "s").mkdir()
        os.chown(tmp_path / "s", nobody.uid, nobody.gid)
        groups = os.getgroups()
        with privileges.acting_as(nobody):
            (tmp_path / "s" / "file").touch()
            with pytest.raises(PermissionError):
                (tmp_path / "file").touch()
        assert (tmp_path / "s" / "file").owner() == pwd.getpwuid(nobody.uid).pw_name
        assert (os.geteuid(), os.getegid(), os.getgroups()) == (0, 0, groups)

    def test_a_folder_that_cannot_be_made_is_told(self, tmp_path: Path, nobody: privileges.Identity) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(OperationError, match="cannot make .*: Not a directory"):
            privileges.give_folder(tmp_path / "file" / "s", ().__contains__, nobody)
