"""What certificates say of themselves."""

from datetime import timedelta

import pytest
import trustme

from reviver.certificates import schedule
from reviver.certificates.facts import covers, facts, pair
from tests.unit.certificates.fakes import START, issued


def test_a_certificate_tells_its_names_issuer_and_dates() -> None:
    found = pair("a.pem", issued("a.example", "*.b.example")).facts
    assert found.names == ("a.example", "*.b.example")
    assert found.issuer == "Fake Authority"
    assert found.key == "ECDSA P-256"
    assert (found.not_before, found.not_after) == (START, START + timedelta(days=90))
    assert len(found.fingerprint) == 64


@pytest.mark.parametrize(("kind", "said"), [(trustme.KeyType.RSA, "RSA 2048"), (trustme.KeyType.ECDSA, "ECDSA P-256")])
def test_kinds_of_keys_have_names(kind: trustme.KeyType, said: str) -> None:
    leaf = trustme.CA(organization_name="Example Ltd").issue_cert("a.example", "127.0.0.1", key_type=kind)
    found = facts(leaf.cert_chain_pems[0].bytes().decode())
    assert found.key == said
    assert found.names == ("a.example", "127.0.0.1")
    assert "Example Ltd" in found.issuer


def test_key_and_chain_are_told_apart() -> None:
    text = issued("a.example")
    held = pair("a.pem", "explanation\n" + text + "more\n")
    assert held.chain.startswith("-----BEGIN CERTIFICATE-----")
    assert held.key.startswith("-----BEGIN PRIVATE KEY-----")
    assert "PRIVATE" not in held.chain
    assert "PRIVATE" not in repr(held)


@pytest.mark.parametrize("text", ["", "nonsense", issued("a.example").partition("-----BEGIN CERT")[0]])
def test_what_is_incomplete_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="lacks"):
        pair("a.pem", text)


def test_a_key_of_another_certificate_is_refused() -> None:
    key, certificate = pair("a", issued("a.example")).key, pair("a", issued("a.example")).chain
    with pytest.raises(ValueError, match="another certificate"):
        pair("a.pem", key + certificate)


@pytest.mark.parametrize(
    ("held", "name", "fits"),
    [
        (("a.example",), "a.example", True),
        (("A.Example",), "a.example", True),
        (("a.example",), "b.example", False),
        (("*.example",), "a.example", True),
        (("*.example",), "b.a.example", False),
        (("*.example",), "example", False),
    ],
)
def test_names_are_covered_as_clients_see_it(held: tuple[str, ...], name: str, fits: bool) -> None:
    assert covers(held, name) is fits


@pytest.mark.parametrize(("life", "left", "soon"), [(90, 20, False), (90, 13, True), (6, 2, False), (6, 0.9, True)])
def test_soon_depends_on_how_long_it_lives(life: float, left: float, soon: bool) -> None:
    found = pair("a", issued("a.example", life=timedelta(days=life))).facts
    assert schedule.ends_soon(found, found.not_after - timedelta(days=left)) is soon
