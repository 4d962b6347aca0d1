"""What a scanner finds in TLS as it is by default: nothing."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.origin import Origin
from tests.support.proxy import ROOT, Proxy, environment, reverse
from tests.support.tls import RSA, authority, site, tls_listener

SSLYZE = ROOT / ".venv" / "sslyze" / "bin" / "sslyze"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The results of all scans, of a listener with an ECDSA and an RSA certificate."""
    if not SSLYZE.exists():
        pytest.skip("sslyze is not installed (tools/setup.sh dev): TLS was NOT scanned for weaknesses")
    rsa = authority().leaf("test.example", "localhost", kind=RSA)
    output: Path = tmp_path_factory.mktemp("sslyze") / "out.json"
    with Origin() as origin, Proxy(reverse([origin.address], listener=tls_listener(site(), rsa))) as proxy:
        command = [str(SSLYZE), "--mozilla_config", "disable", "--json_out", str(output)]
        command += ["--sslv2", "--sslv3", "--tlsv1", "--tlsv1_1", "--tlsv1_2", "--tlsv1_3", "--compression", "--robot"]
        command += ["--reneg", "--elliptic_curves", "--fallback", "--ems", "--heartbleed", "--openssl_ccs", "--resum"]
        command += ["--early_data", "--certinfo", "--certinfo_ca_file", str(authority().file)]
        done = subprocess.run(
            [*command, f"localhost:{proxy.port}"],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert output.exists(), done.stdout + done.stderr
        (result,) = json.loads(output.read_text())["server_scan_results"]
        assert result["scan_status"] == "COMPLETED", result
        yield result["scan_result"]


def result(found: Any, scan: str) -> Any:
    assert found[scan]["status"] == "COMPLETED", found[scan]
    return found[scan]["result"]


@pytest.mark.parametrize("version", ["ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1"])
def test_no_old_version(found: Any, version: str) -> None:
    assert result(found, f"{version}_cipher_suites")["accepted_cipher_suites"] == []


@pytest.mark.parametrize("version", ["tls_1_2", "tls_1_3"])
def test_ciphers(found: Any, version: str) -> None:
    """Only with forward secrecy and authenticated encryption, of 128 bits and more."""
    accepted = [suite["cipher_suite"] for suite in result(found, f"{version}_cipher_suites")["accepted_cipher_suites"]]
    assert accepted
    for suite in accepted:
        name = suite["name"]
        assert suite["key_size"] >= 128, name
        assert not suite["is_anonymous"], name
        assert name.endswith(("_GCM_SHA256", "_GCM_SHA384", "_CHACHA20_POLY1305_SHA256")), name
        assert version == "tls_1_3" or name.startswith("TLS_ECDHE_"), name


def test_curves(found: Any) -> None:
    accepted = {curve["name"] for curve in result(found, "elliptic_curves")["supported_curves"]}
    assert "X25519" in accepted
    assert accepted <= {"X25519", "X448", "prime256v1", "secp256r1", "secp384r1", "secp521r1"}


def test_no_compression(found: Any) -> None:
    assert result(found, "tls_compression")["supports_compression"] is False


def test_no_renegotiation_by_clients(found: Any) -> None:
    renegotiation = result(found, "session_renegotiation")
    assert renegotiation["supports_secure_renegotiation"] is True, "RFC 5746"
    assert renegotiation["is_vulnerable_to_client_renegotiation_dos"] is False


def test_known_holes(found: Any) -> None:
    assert result(found, "heartbleed")["is_vulnerable_to_heartbleed"] is False
    assert result(found, "openssl_ccs_injection")["is_vulnerable_to_ccs_injection"] is False
    assert result(found, "robot")["robot_result"].startswith("NOT_VULNERABLE")


def test_no_early_data(found: Any) -> None:
    """RFC 8470: it can be replayed."""
    assert result(found, "tls_1_3_early_data")["supports_early_data"] is False


def test_extended_master_secret(found: Any) -> None:
    assert result(found, "tls_extended_master_secret")["supports_ems_extension"] is True


def test_resumption(found: Any) -> None:
    """By tickets it is tested elsewhere: the scanner takes a renewed one for none."""
    assert result(found, "session_resumption")["session_id_resumption_result"] == "FULLY_SUPPORTED"


def test_the_chain(found: Any) -> None:
    info = result(found, "certificate_info")
    assert len(info["certificate_deployments"]) == 2, "RSA and ECDSA"
    for deployment in info["certificate_deployments"]:
        assert deployment["received_chain_has_valid_order"] is True
        assert deployment["received_chain_contains_anchor_certificate"] is not True
