"""`tls: {internal: true}`: a local authority that is made on first use, and how it is trusted."""

import json
import os
import ssl
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from tests.support.client import Client
from tests.support.proxy import ACCESS_LOG, Config, Proxy, cli, free_port
from tests.support.tls import TlsClient, authority


@pytest.fixture
def state(tmp_path: Path) -> dict[str, str]:
    """The environment of a user whose state folder is the test's."""
    return {"XDG_STATE_HOME": str(tmp_path / "state")}


def _config(**tls: object) -> Config:
    return {
        "listeners": {"dev": {"bind": f"127.0.0.1:{free_port()}", "role": "reverse", "tls": {"internal": True, **tls}}},
        "reverse": {"routes": [{"name": "all", "match": {"path": "/*"}, "respond": {"body": "served"}}]},
        "logs": ACCESS_LOG,
    }


@pytest.fixture
def proxy(state: dict[str, str]) -> Iterator[Proxy]:
    with Proxy(_config(), env=state) as running:
        yield running


def _folder(state: dict[str, str]) -> Path:
    return Path(state["XDG_STATE_HOME"], "reviver", "certificates", "internal")


def _context(state: dict[str, str]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(_folder(state) / "ca.pem")
    return context


def _serves(client: Client, host: str) -> bool:
    return client.ask(host=host).body == b"served"


@pytest.mark.parametrize("name", ["localhost", "shop.example", "a.b.c.d.example"])
def test_each_name_gets_a_certificate_that_the_authority_vouches_for(
    proxy: Proxy, state: dict[str, str], name: str
) -> None:
    with TlsClient(proxy.port, sni=name, context=_context(state)) as client:
        assert _serves(client, name)


def test_the_authority_is_made_once_and_private(state: dict[str, str]) -> None:
    seen = set()
    for start in range(2):
        with Proxy(_config(), env=state) as proxy:
            assert ("made a local authority" in proxy.stderr) == (start == 0)
            seen.add((_folder(state) / "ca.pem").read_text())
    assert len(seen) == 1
    assert stat.S_IMODE(_folder(state).stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in _folder(state).iterdir()} == {0o600}


def test_it_is_an_authority_for_leaves_and_for_ten_years(proxy: Proxy, state: dict[str, str]) -> None:
    certificate = x509.load_pem_x509_certificate((_folder(state) / "ca.pem").read_bytes())
    basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (basic.ca, basic.path_length) == (True, 0)
    assert (certificate.not_valid_after_utc - certificate.not_valid_before_utc).days >= 3650
    assert os.uname().nodename[:20] in certificate.subject.rfc4514_string()


def test_a_reload_may_ask_for_it(state: dict[str, str]) -> None:
    config = _config()
    config["listeners"]["dev"]["tls"] = {"certificates": [authority().leaf("file.example").config]}
    with Proxy(config, env=state) as proxy:
        proxy.config["listeners"]["dev"]["tls"]["internal"] = True
        assert proxy.reload().returncode == 0
        with TlsClient(proxy.port, sni="other.example", context=_context(state)) as client:
            assert _serves(client, "other.example")
        # what is given as a file stays what it is
        with TlsClient(proxy.port, sni="file.example") as client:
            assert _serves(client, "file.example")


def test_it_is_shown(proxy: Proxy) -> None:
    [row] = json.loads(proxy.cli("certificates", "--json").stdout)["certificates"]
    assert (row["listener"], row["source"], row["state"]) == ("dev", "internal", "valid")
    assert row["key"] == "ECDSA P-256"


def test_how_to_trust_it_is_printed(proxy: Proxy, state: dict[str, str]) -> None:
    path = str(_folder(state) / "ca.pem")
    done = proxy.cli("certificates", "trust")
    assert done.returncode == 0, done.stderr
    for words in (path, "update-ca-certificates", "Firefox", "NODE_EXTRA_CA_CERTS", "security add-trusted-cert"):
        assert words in done.stdout
    answer = json.loads(proxy.cli("certificates", "trust", "--json").stdout)
    assert answer["certificate"] == path
    assert {way["system"] for way in answer["instructions"]} >= {"Debian, Ubuntu", "macOS", "Windows", "curl"}


def test_what_is_printed_for_curl_works(proxy: Proxy, state: dict[str, str]) -> None:
    answer = json.loads(proxy.cli("certificates", "trust", "--json").stdout)
    [line] = next(way["commands"] for way in answer["instructions"] if way["system"] == "curl")
    command = line.replace("https://...", f"https://localhost:{proxy.port}/")
    done = subprocess.run(["/bin/sh", "-c", f"{command} -sS"], capture_output=True, text=True, check=False)
    assert done.stdout == "served", done.stderr


def test_without_one_there_is_nothing_to_trust(state: dict[str, str], tmp_path: Path) -> None:
    done = cli("certificates", "trust", cwd=tmp_path, env=state)
    assert done.returncode == 1
    assert (
        f"there is no local authority in {Path(state['XDG_STATE_HOME'], 'reviver', 'certificates')} yet" in done.stderr
    )
    assert not Path(state["XDG_STATE_HOME"]).exists()


def test_check_and_explain_make_none(state: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "reviver.json").write_text(json.dumps(_config()))
    for arguments in (("check",), ("explain", "GET", "https://shop.example/"), ("certificates",)):
        done = cli(*arguments, cwd=tmp_path, env=state)
        assert done.returncode == 0, done.stderr
    assert not Path(state["XDG_STATE_HOME"]).exists()


def test_a_storage_that_others_can_write_to_is_refused_at_the_start(state: dict[str, str], tmp_path: Path) -> None:
    folder = Path(state["XDG_STATE_HOME"], "reviver", "certificates")
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    (tmp_path / "reviver.json").write_text(json.dumps(_config()))
    done = cli("run", cwd=tmp_path, env=state)
    assert done.returncode == 1
    assert done.stderr.endswith(f"storage {folder} can be written to by others; chmod go-w {folder}\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_the_storage_of_one_that_gives_up_root_belongs_to_its_user(state: dict[str, str], tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
    # made by root first
    with Proxy(_config(), env=state):
        first = (_folder(state) / "ca.pem").read_text()
    config = {**_config(), "user": "nobody"}
    del config["logs"]
    for _ in range(2):
        with (
            Proxy(config, env=state) as proxy,
            TlsClient(proxy.port, sni="a.example", context=_context(state)) as client,
        ):
            assert _serves(client, "a.example")
            # a reload reads it as that user
            assert proxy.reload().returncode == 0
    assert (_folder(state) / "ca.pem").read_text() == first
    owners = {path.owner() for path in (_folder(state).parent, _folder(state), *_folder(state).iterdir())}
    assert owners == {"nobody"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_storage_that_the_user_cannot_use_is_told_at_the_start(state: dict[str, str], tmp_path: Path) -> None:
    folder = Path(state["XDG_STATE_HOME"], "reviver", "certificates")
    folder.mkdir(parents=True)
    # not the proxy's alone, so it is not given away
    (folder / "something-else").touch()
    (tmp_path / "reviver.json").write_text(json.dumps({**_config(), "user": "nobody"}))
    done = cli("run", cwd=tmp_path, env=state)
    assert done.returncode == 1
    assert f"storage {folder}" in done.stderr
