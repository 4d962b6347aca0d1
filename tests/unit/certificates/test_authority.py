"""The local authority: made once, good for leaves and for nothing else."""

import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from reviver.certificates import authority
from reviver.certificates.storage import Storage
from reviver.errors import OperationError

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def _pause(_: float) -> None:
    threading.Event().wait(0.01)


def test_it_may_sign_leaves_and_no_other_authority(tmp_path: Path) -> None:
    held, made = authority.ensure(Storage(tmp_path), _pause, NOW)
    assert made
    certificate = x509.load_pem_x509_certificate(held.chain.encode())
    certificate.verify_directly_issued_by(certificate)
    basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert (basic.value.ca, basic.value.path_length, basic.critical) == (True, 0, True)
    assert usage.value.key_cert_sign
    assert usage.critical
    assert not usage.value.digital_signature
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"
    assert held.facts.names[0].startswith("Reviver local authority ")
    assert timedelta(days=3650) < held.facts.not_after - NOW < timedelta(days=3656)


def test_a_long_host_name_does_not_keep_it_from_being_made() -> None:
    chain, _ = authority.make(NOW, "h" * 64)
    certificate = x509.load_pem_x509_certificate(chain.encode())
    assert certificate.subject.rfc4514_string().startswith("CN=Reviver local authority hhh")


def test_it_is_made_once(tmp_path: Path) -> None:
    assert authority.load(Storage(tmp_path)) is None
    first, _ = authority.ensure(Storage(tmp_path), _pause, NOW)
    again, made = authority.ensure(Storage(tmp_path), _pause, NOW + timedelta(days=3000))
    assert not made
    assert again == first == authority.load(Storage(tmp_path))


def test_several_at_once_make_one(tmp_path: Path) -> None:
    found = []

    def ensure() -> None:
        found.append(authority.ensure(Storage(tmp_path), _pause, NOW))

    threads = [threading.Thread(target=ensure) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len({held.facts.fingerprint for held, _ in found}) == 1
    assert sorted(made for _, made in found) == [False] * 7 + [True]


def test_one_that_has_ended_is_replaced(tmp_path: Path) -> None:
    first, _ = authority.ensure(Storage(tmp_path), _pause, NOW)
    second, made = authority.ensure(Storage(tmp_path), _pause, NOW + timedelta(days=4000))
    assert made
    assert second.facts.fingerprint != first.facts.fingerprint


def test_only_its_owner_can_read_the_key(tmp_path: Path) -> None:
    authority.ensure(Storage(tmp_path), _pause, NOW)
    folder = tmp_path / "internal"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_a_damaged_one_is_told_and_not_replaced(tmp_path: Path) -> None:
    """Those who trust it would not trust another."""
    storage = Storage(tmp_path)
    authority.ensure(storage, _pause, NOW)
    storage.write("internal/ca.key", "nonsense")
    with pytest.raises(OperationError, match="is damaged: .*; remove the folder to have a new one"):
        authority.ensure(storage, _pause, NOW)
