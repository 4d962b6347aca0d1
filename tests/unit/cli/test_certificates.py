"""How `reviver certificates` tells what the proxy, or the files, say."""

import json
from pathlib import Path
from typing import Any

import pytest

from reviver.certificates import authority
from reviver.certificates.storage import Storage
from reviver.cli import main
from reviver.control import client, paths
from reviver.errors import OperationError
from tests.support import tls
from tests.unit.cli.test_main import _modules

ROW: dict[str, Any] = {
    "listener": "web",
    "pool": None,
    "names": ["a.example", "b.example", "c.example", "d.example"],
    "issuer": "R11 (Let's Encrypt)",
    "key": "ECDSA P-256",
    "not_before": "2026-05-01T00:00:00Z",
    "not_after": "2026-07-30T00:00:00Z",
    "days_left": 42,
    "source": "automatic",
    "state": "valid",
    "file": "/state/a.pem",
    "fingerprint": "00",
    "next_renewal": "2026-06-29T00:00:00Z",
    "error": None,
    "next_attempt": None,
}
FAILING = {
    **ROW, "names": ["x.example"], "not_after": None, "days_left": None, "state": "failing", "next_renewal": None,
    "error": "caa: forbidden", "next_attempt": "2026-05-01T12:01:00Z",
}  # fmt: skip
CLIENT = {**ROW, "listener": None, "pool": "app", "names": ["proxy.internal"], "source": "file", "next_renewal": None}


@pytest.fixture(autouse=True)
def _state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    # no proxy of this machine is found
    monkeypatch.setattr(paths, "folders", lambda: [tmp_path / "run"])
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None]]:
    """Answers for a proxy; what it was asked."""
    found: list[tuple[str, str | None]] = []

    def ask(path: Path, command: str, *, name: str | None = None, **_: Any) -> dict[str, Any]:
        found.append((command, name))
        if command == "renew":
            if name == "bad":
                raise client.RefusedError("a.example: not renewed: caa: forbidden", [])
            return {"renewed": ["a.example: certificate obtained, valid until 2026-07-30"]}
        return {"certificates": [ROW, FAILING, CLIENT]}

    monkeypatch.setattr(client, "ask", ask)
    return found


def test_a_table_has_a_line_for_each(asked: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["certificates", "--socket", "/x"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == "for names issuer key not after days left source state next".split()
    assert "web" in lines[1]
    for words in ("a.example, b.example, c.example and 1 more", "R11 (Let's Encrypt)", "2026-07-30", "42", "valid"):
        assert words in lines[1]
    assert "renewal 2026-06-29" in lines[1]
    assert "failing" in lines[2]
    assert "attempt 2026-05-01T12:01:00Z" in lines[2]
    assert lines[3].startswith("pool app")
    assert lines[-1] == "x.example: caa: forbidden"


def test_programs_get_everything(asked: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["certificates", "--socket", "/x", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"certificates": [ROW, FAILING, CLIENT]}


@pytest.mark.parametrize("name", [None, "a.example"])
def test_the_running_proxy_is_asked_to_renew(
    asked: list[tuple[str, str | None]], capsys: pytest.CaptureFixture[str], name: str | None
) -> None:
    assert main.run(["certificates", "--socket", "/x", "renew", *([name] if name else [])]) == 0
    assert asked == [("renew", name)]
    assert capsys.readouterr().out == "a.example: certificate obtained, valid until 2026-07-30\n"


def test_a_renewal_that_fails_is_exit_code_one(asked: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["certificates", "renew", "bad", "--socket", "/x"]) == 1
    assert capsys.readouterr().err == "error: a.example: not renewed: caa: forbidden\n"


def test_without_a_proxy_there_is_nobody_to_renew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["certificates", "renew"]) == 1
    assert "no running proxy" in capsys.readouterr().err


def _configuration(folder: Path, listener_tls: str) -> None:
    (folder / "reviver.yaml").write_text(
        f"listeners: {{web: {{bind: '127.0.0.1:443', role: reverse, tls: {listener_tls}}}}}\n"
        "reverse: {routes: [{name: all, respond: {}}]}\nlogs: []\n"
    )


def test_without_a_proxy_files_and_storage_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leaf = tls.authority().leaf("file.example")
    certificates = f"[{{certificate: {leaf.certificate}, key: {leaf.key}}}]"
    _configuration(tmp_path, f"{{certificates: {certificates}, automatic: {{domains: new.example}}}}")
    assert main.run(["certificates", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["certificates"]
    assert [(row["names"], row["source"], row["state"]) for row in rows] == [
        (["file.example"], "file", "valid"),
        (["new.example"], "automatic", "pending"),
    ]
    assert not (tmp_path / "state").exists()


def test_a_configuration_without_any_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "reviver.yaml").write_text(
        "listeners: {web: {bind: '127.0.0.1:80', role: reverse}}\nreverse: {routes: [{name: all, respond: {}}]}\n"
    )
    assert main.run(["certificates"]) == 0
    assert capsys.readouterr().out == "the configuration has no certificates\n"


def test_one_that_is_named_has_to_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["certificates", "--socket", str(tmp_path / "none")]) == 1
    assert "no proxy is running at" in capsys.readouterr().err


def test_without_a_local_authority_there_is_nothing_to_trust(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["certificates", "trust"]) == 1
    assert f"there is no local authority in {tmp_path}/state/reviver/certificates yet" in capsys.readouterr().err


def test_its_path_and_what_to_do_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    storage = Storage(tmp_path / "state" / "reviver" / "certificates")
    authority.ensure(storage, lambda _: None)
    assert main.run(["certificates", "trust"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"The local authority's certificate is {authority.path(storage)}\n")
    assert "update-ca-certificates" in out
    assert main.run(["certificates", "trust", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["certificate"] == str(authority.path(storage))


def test_a_damaged_authority_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    storage = Storage(tmp_path / "state" / "reviver" / "certificates")
    authority.ensure(storage, lambda _: None)
    storage.write(authority.KEY, "nonsense")
    with pytest.raises(OperationError):
        authority.load(storage)
    assert main.run(["certificates", "trust"]) == 1
    assert "is damaged" in capsys.readouterr().err


def test_the_acme_library_is_loaded_by_no_command(tmp_path: Path) -> None:
    """It and what it needs take longer to load than most commands take."""
    _configuration(tmp_path, "{automatic: {domains: new.example}}")
    slow = {"acme", "josepy", "requests", "OpenSSL"}
    for command in ("certificates", "check"):
        loaded = _modules(command)
        assert "reviver.certificates.wants" in loaded
        assert not loaded & slow, command


def test_without_certificates_no_cryptography_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "reviver.yaml").write_text(
        "listeners: {web: {bind: '127.0.0.1:80', role: reverse}}\nreverse: {routes: [{name: all, respond: {}}]}\n"
    )
    assert not _modules("check") & {"cryptography", "acme", "asyncio", "watchfiles"}


def test_asking_a_proxy_to_renew_loads_no_models(tmp_path: Path) -> None:
    loaded = _modules("certificates", "renew", "--socket", str(tmp_path / "none"))
    assert not loaded & {"pydantic", "cryptography", "acme", "rich"}
