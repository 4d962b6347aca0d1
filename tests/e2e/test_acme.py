"""Automatic certificates against pebble, Let's Encrypt's test server."""

import json
import os
import socket
import ssl
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from tests.support.pebble import Pebble
from tests.support.proxy import ACCESS_LOG, Config, Proxy, free_port
from tests.support.wait import until

SECONDS = 60
Ports = tuple[int, int]
"""Of the plain listener and of the one with TLS, where the authority looks for proofs."""


@pytest.fixture(scope="module")
def ports() -> Ports:
    return free_port(), free_port()


@pytest.fixture(scope="module")
def pebble(ports: Ports) -> Iterator[Pebble]:
    with Pebble(http=ports[0], tls=ports[1]) as server:
        yield server


def _config(ports: Ports, automatic: Config, *, plain: bool = True, **tls: Any) -> Config:
    """A site over TLS and, unless told otherwise, a plain listener that redirects to it."""
    web: Config = {"bind": f"127.0.0.1:{ports[1]}", "role": "reverse", "tls": {"automatic": automatic, **tls}}
    listeners = {"web": web}
    if plain:
        listeners["plain"] = {"bind": f"127.0.0.1:{ports[0]}", "role": "reverse", "redirect_https": True}
    routes = [{"name": "all", "match": {"path": "/*"}, "respond": {"body": "served"}}]
    return {"listeners": listeners, "reverse": {"routes": routes}, "logs": ACCESS_LOG}


def _shown(port: int, name: str, context: ssl.SSLContext | None = None) -> x509.Certificate:
    """The certificate that a client gets for a name. Raises OSError where the handshake fails."""
    if context is None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=name) as connection,
    ):
        return x509.load_der_x509_certificate(connection.getpeercert(binary_form=True) or b"")


def _served(port: int, name: str, context: ssl.SSLContext) -> x509.Certificate:
    """The certificate for a name, once one is served that the client trusts."""

    def trusted() -> x509.Certificate | None:
        try:
            return _shown(port, name, context)
        except OSError:
            return None

    found = until(trusted, f"a trusted certificate for {name}", SECONDS)
    assert found is not None
    return found


def _row(proxy: Proxy) -> dict[str, Any]:
    """What `reviver certificates` tells of the only one."""
    done = proxy.cli("certificates", "--json")
    assert done.returncode == 0, done.stderr
    [row] = json.loads(done.stdout)["certificates"]
    assert isinstance(row, dict)
    return row


def _names(certificate: x509.Certificate) -> set[str]:
    held = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(held.get_values_for_type(x509.DNSName))


def _orders(pebble: Pebble) -> int:
    return pebble.count("Added order ")


# ---- obtaining


@pytest.mark.parametrize("challenge", ["http-01", "tls-alpn-01"])
def test_a_certificate_for_several_names_is_obtained(pebble: Pebble, ports: Ports, challenge: str) -> None:
    names = [f"{name}.{challenge}.example" for name in ("a", "b", "c")]
    with Proxy(_config(ports, pebble.automatic(*names, challenges=[challenge]))) as proxy:
        for name in names:
            assert _names(_served(ports[1], name, pebble.context())) == set(names)
        row = _row(proxy)
        assert (row["source"], row["state"], set(row["names"])) == ("automatic", "valid", set(names))
        assert row["issuer"].startswith("Pebble Intermediate CA")
        assert "certificate obtained, valid until" in proxy.stderr
        proofs = [record for record in proxy.records() if record["reason"] == "acme_challenge"]
        assert bool(proofs) == (challenge == "http-01")


def test_proofs_are_gone_when_they_are_not_needed_any_more(pebble: Pebble, ports: Ports) -> None:
    with Proxy(_config(ports, pebble.automatic("gone.example", challenges=["http-01"]))) as proxy:
        _served(ports[1], "gone.example", pebble.context())
        [path, *_] = [record["path"] for record in proxy.records() if record["reason"] == "acme_challenge"]
        assert path.startswith("/.well-known/acme-challenge/")
        with socket.create_connection(("127.0.0.1", ports[0]), SECONDS) as plain:
            plain.sendall(f"GET {path} HTTP/1.1\r\nHost: gone.example\r\nConnection: close\r\n\r\n".encode())
            assert plain.makefile("rb").readline().split()[1] == b"308"


def test_without_a_plain_listener_names_are_proved_by_tls_alone(pebble: Pebble, ports: Ports) -> None:
    with Proxy(_config(ports, pebble.automatic("alone.example"), plain=False)):
        _served(ports[1], "alone.example", pebble.context())


def test_the_names_may_be_those_of_the_routes(pebble: Pebble, ports: Ports) -> None:
    automatic = pebble.automatic("route.example", "other.example")
    del automatic["domains"]
    config = _config(ports, automatic)
    config["reverse"]["routes"][0]["match"] = {"host": ["route.example", "other.example"]}
    with Proxy(config):
        assert _names(_served(ports[1], "route.example", pebble.context())) == {"route.example", "other.example"}


@pytest.mark.parametrize(("kind", "said"), [("rsa", "RSA 2048"), ("ecdsa", "ECDSA P-256")])
def test_the_key_is_of_the_kind_that_is_wanted(pebble: Pebble, ports: Ports, kind: str, said: str) -> None:
    with Proxy(_config(ports, pebble.automatic(f"{kind}.example", key=kind))) as proxy:
        _served(ports[1], f"{kind}.example", pebble.context())
        assert _row(proxy)["key"] == said


def test_a_file_is_served_beside_it(pebble: Pebble, ports: Ports) -> None:
    from tests.support.tls import authority

    leaf = authority().leaf("file.example")
    config = _config(ports, pebble.automatic("beside.example"), certificates=[leaf.config])
    with Proxy(config):
        _served(ports[1], "beside.example", pebble.context())
        assert _names(_shown(ports[1], "file.example")) == {"file.example"}


# ---- storage and accounts


def test_a_restart_serves_the_stored_certificate_and_asks_for_nothing(
    pebble: Pebble, ports: Ports, tmp_path: Path
) -> None:
    automatic = pebble.automatic("kept.example", storage=str(tmp_path / "certificates"))
    with Proxy(_config(ports, automatic)):
        first = _served(ports[1], "kept.example", pebble.context())
    orders = _orders(pebble)
    with Proxy(_config(ports, automatic)) as proxy:
        # the very first handshake
        assert _shown(ports[1], "kept.example", pebble.context()) == first
        assert _row(proxy)["state"] == "valid"
        assert _orders(pebble) == orders


def test_only_the_owner_can_read_the_storage(pebble: Pebble, ports: Ports, tmp_path: Path) -> None:
    folder = tmp_path / "certificates"
    with Proxy(_config(ports, pebble.automatic("private.example", storage=str(folder)))):
        _served(ports[1], "private.example", pebble.context())
    everything = [folder, *folder.rglob("*")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in everything if path.is_dir()} == {0o700}
    files = [path for path in everything if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert {path.parent.name for path in files if "PRIVATE KEY" in path.read_text()} == {"accounts", "automatic"}


def test_one_account_is_used_for_all(ports: Ports, tmp_path: Path) -> None:
    storage = str(tmp_path / "certificates")
    with Pebble(http=ports[0], tls=ports[1]) as pebble:
        for name in ("one.example", "two.example"):
            with Proxy(_config(ports, pebble.automatic(name, storage=storage))) as proxy:
                _served(ports[1], name, pebble.context())
                assert proxy.cli("certificates", "renew").returncode == 0
        assert pebble.count("accounts in memory") == 1
        # a server that forgets accounts gets the same key again
        pebble.stop()
        pebble.start()
        with Proxy(_config(ports, pebble.automatic("three.example", storage=storage))):
            _served(ports[1], "three.example", pebble.context())
        assert pebble.count("There are now 1 accounts in memory") == 2
        assert len(list((tmp_path / "certificates" / "accounts").glob("*.key"))) == 1


def test_an_account_may_be_bound_to_one_that_the_authority_knows(ports: Ports) -> None:
    key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
    with Pebble(http=ports[0], tls=ports[1], external={"kid-1": key}) as pebble:
        automatic = pebble.automatic("bound.example")
        with Proxy(_config(ports, automatic)) as proxy:
            until(lambda: _row(proxy)["state"] == "failing", "the failure", SECONDS)
            assert "tls.automatic.external_account" in _row(proxy)["error"]
        automatic["external_account"] = {"id": "kid-1", "key": key}
        with Proxy(_config(ports, automatic)) as proxy:
            _served(ports[1], "bound.example", pebble.context())
            assert key not in proxy.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_all_goes_on_after_root_was_given_up(pebble: Pebble, ports: Ports, tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
    storage = tmp_path / "lib" / "certificates"
    automatic = pebble.automatic("user.example", storage=str(storage), challenges=["http-01"])
    config = {**_config(ports, automatic), "user": "nobody"}
    config["logs"] = []
    for start in range(2):
        with Proxy(config) as proxy:
            first = _served(ports[1], "user.example", pebble.context())
            assert ("certificate obtained" in proxy.stderr) == (start == 0)
            done = proxy.cli("certificates", "renew")
            assert done.returncode == 0, done.stderr
            assert _shown(ports[1], "user.example") != first
            assert proxy.reload().returncode == 0
        assert {path.owner() for path in (storage, *storage.rglob("*"))} == {"nobody"}


# ---- renewal


def test_on_request_it_is_renewed_and_no_connection_is_dropped(pebble: Pebble, ports: Ports) -> None:
    with Proxy(_config(ports, pebble.automatic("again.example"))) as proxy:
        first = _served(ports[1], "again.example", pebble.context())
        context = pebble.context()
        with (
            socket.create_connection(("127.0.0.1", ports[1]), SECONDS) as plain,
            context.wrap_socket(plain, server_hostname="again.example") as connection,
        ):
            done = proxy.cli("certificates", "renew", "again.example")
            assert done.returncode == 0, done.stderr
            assert "again.example: certificate obtained" in done.stdout
            assert _shown(ports[1], "again.example", context).serial_number != first.serial_number
            connection.sendall(b"GET / HTTP/1.1\r\nHost: again.example\r\nConnection: close\r\n\r\n")
            assert connection.makefile("rb").read().endswith(b"served")


def test_one_that_has_ended_is_renewed_at_the_start(ports: Ports, tmp_path: Path) -> None:
    storage = str(tmp_path / "certificates")
    with Pebble(http=ports[0], tls=ports[1], valid_seconds=3) as pebble:
        with Proxy(_config(ports, pebble.automatic("short.example", storage=storage))) as proxy:
            first = _served(ports[1], "short.example", pebble.context())
            # and while it runs
            until(lambda: _shown(ports[1], "short.example") != first, "the renewed certificate", SECONDS)
            assert proxy.stderr.count("certificate obtained") >= 2
        orders = _orders(pebble)
        [file] = (tmp_path / "certificates" / "automatic").glob("*.pem")
        stored = x509.load_pem_x509_certificate(file.read_bytes().partition(b"-----END PRIVATE KEY-----\n")[2])
        until(lambda: _ended(stored), "the end of the certificate", SECONDS)
        with Proxy(_config(ports, pebble.automatic("short.example", storage=storage))):
            until(lambda: _orders(pebble) > orders, "another order", SECONDS)
            until(lambda: _shown(ports[1], "short.example") != stored, "the renewed certificate", SECONDS)


def _ended(certificate: x509.Certificate) -> bool:
    from datetime import UTC, datetime

    return certificate.not_valid_after_utc < datetime.now(UTC)


def test_a_failure_keeps_the_old_one_and_is_told(pebble: Pebble, ports: Ports) -> None:
    with Proxy(_config(ports, pebble.automatic("kept-on.example", challenges=["http-01"]))) as proxy:
        first = _served(ports[1], "kept-on.example", pebble.context())
        # the authority goes to an address where nobody answers
        pebble.names.set("kept-on.example", "127.0.0.2")
        done = proxy.cli("certificates", "renew")
        assert done.returncode == 1
        assert "kept-on.example: http-01: " in done.stderr
        assert _shown(ports[1], "kept-on.example", pebble.context()) == first
        row = _row(proxy)
        assert row["state"] == "failing"
        assert row["next_attempt"]
        assert "http-01" in row["error"]
        assert "not renewed (valid until" in proxy.stderr
        table = proxy.cli("certificates")
        assert "failing" in table.stdout
        assert "http-01" in table.stdout
        pebble.names.set("kept-on.example", "127.0.0.1")
        assert proxy.cli("certificates", "renew").returncode == 0
        assert _row(proxy)["state"] == "valid"


def test_an_authority_that_is_down_is_named(ports: Ports) -> None:
    with Pebble(http=ports[0], tls=ports[1]) as pebble:
        automatic = pebble.automatic("down.example")
        pebble.stop()
        with Proxy(_config(ports, automatic)) as proxy:
            until(lambda: "next attempt at" in proxy.stderr, "the failure", SECONDS)
            assert f"{pebble.directory}: Connection refused" in proxy.stderr
            # the rest is served meanwhile, and a handshake fails cleanly
            with pytest.raises(OSError):
                _shown(ports[1], "down.example")
            pebble.start()
            assert proxy.cli("certificates", "renew").returncode == 0
            _served(ports[1], "down.example", pebble.context())


def test_an_authority_that_nobody_vouches_for_is_not_believed(pebble: Pebble, ports: Ports) -> None:
    automatic = pebble.automatic("trust.example")
    del automatic["directory_ca"]
    orders = _orders(pebble)
    with Proxy(_config(ports, automatic)) as proxy:
        until(lambda: "next attempt at" in proxy.stderr, "the failure", SECONDS)
        assert "unable to get local issuer certificate" in proxy.stderr
    assert _orders(pebble) == orders


# ---- several proxies, reloads


def test_a_reload_obtains_what_is_new_while_the_old_one_serves(pebble: Pebble, ports: Ports) -> None:
    with Proxy(_config(ports, pebble.automatic("first.example"))) as proxy:
        _served(ports[1], "first.example", pebble.context())
        automatic = pebble.automatic("first.example", "second.example")
        proxy.config["listeners"]["web"]["tls"]["automatic"] = automatic
        assert proxy.reload().returncode == 0
        _shown(ports[1], "first.example", pebble.context())
        assert _names(_served(ports[1], "second.example", pebble.context())) == {"first.example", "second.example"}


def test_a_second_proxy_takes_what_the_first_one_got_and_follows_renewals(
    pebble: Pebble, ports: Ports, tmp_path: Path
) -> None:
    automatic = pebble.automatic("shared.example", storage=str(tmp_path / "certificates"))
    elsewhere = free_port(), free_port()
    with Proxy(_config(ports, automatic)) as first, Proxy(_config(elsewhere, automatic)) as second:
        context = pebble.context()
        held = _served(ports[1], "shared.example", context)
        assert _served(elsewhere[1], "shared.example", context) == held
        assert first.cli("certificates", "renew").returncode == 0
        renewed = _shown(ports[1], "shared.example", context)
        assert renewed != held
        until(lambda: _shown(elsewhere[1], "shared.example", context) == renewed, "the renewed one", SECONDS)
        said = first.stderr + second.stderr
        assert said.count("certificate obtained") == 2


def test_it_ends_at_once_in_the_middle_of_an_order(ports: Ports) -> None:
    """The authority is busy for a long time; the proxy is not."""
    slow = {"PEBBLE_VA_NOSLEEP": "", "PEBBLE_VA_SLEEPTIME": "60"}
    with (
        Pebble(http=ports[0], tls=ports[1], env=slow) as pebble,
        Proxy(_config(ports, pebble.automatic("slow.example"))) as proxy,
    ):
        until(lambda: _orders(pebble) == 1, "the order", SECONDS)
        proxy.process.terminate()
        assert proxy.wait(20) == 0
