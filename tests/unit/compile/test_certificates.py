"""Files of certificates and keys: what is refused, what is only warned of, what of them comes into the plan."""

import base64
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519
from cryptography.hazmat.primitives.serialization import NoEncryption, PrivateFormat
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates
from cryptography.x509 import load_pem_x509_certificate
from hypothesis import given, settings
from hypothesis import strategies as st

from reviver.compile import FINGERPRINT, Inputs, Plan, compile_plan, gather
from reviver.compile.plan import Certificate
from reviver.config import Loaded, load_file, load_mapping
from reviver.errors import ConfigurationError, Diagnostic
from tests.support.pem import NOW, certificate, ec_key, key_text, rsa_key

KEY = ec_key()
OTHER = ec_key()
GOOD = certificate(KEY, "a.example", "*.a.example")
TREE = """\
listeners:
  web:
    bind: ":8443"
    role: reverse
    tls:
      certificates:
        - {certificate: site.pem, key: site.key}
reverse: {routes: [{respond: {}}]}
"""


def written(folder: Path, tree: str = TREE, **files: str) -> Loaded:
    """The configuration beside files: `site_pem` is site.pem."""
    for name, text in {"site_pem": GOOD, "site_key": key_text(KEY), **files}.items():
        (folder / name.replace("_", ".")).write_text(text)
    (folder / "r.yaml").write_text(tree)
    return load_file(folder / "r.yaml", {})


def told(found: Iterable[Diagnostic], folder: Path) -> list[str]:
    return [str(item).replace(f"{folder}/", "") for item in found]


def refused(loaded: Loaded) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        gather(loaded, now=NOW)
    return told(caught.value.diagnostics, loaded.base)


def warned(loaded: Loaded) -> list[str]:
    inputs = gather(loaded, now=NOW)
    assert all(item.severity == "warning" for item in inputs.warnings)
    return told(inputs.warnings, loaded.base)


def plan(loaded: Loaded, inputs: Inputs | None = None) -> Plan:
    return compile_plan(loaded, inputs or gather(loaded, now=NOW), fingerprint=FINGERPRINT)


def tls(made: Plan, listener: int = 0) -> Any:
    return made["listeners"][listener]["tls"]


def signed(key: Any) -> str:
    return certificate(key, "a.example", issuer=("ca", OTHER))


PLAIN = 'listeners: {web: {bind: ":8080", role: reverse}}\nreverse: {routes: [{respond: {}}]}\n'

AT_CERTIFICATE = "r.yaml:7:25: listeners.web.tls.certificates[0].certificate: "
AT_KEY = "r.yaml:7:40: listeners.web.tls.certificates[0].key: "


def test_a_good_pair_comes_into_the_plan(tmp_path: Path) -> None:
    loaded = written(tmp_path)
    inputs = gather(loaded, now=NOW)
    assert inputs.warnings == ()
    assert inputs.files == (tmp_path / "site.pem", tmp_path / "site.key")
    assert "PRIVATE" not in repr(inputs), "keys are not shown in passing"
    (shown,) = tls(plan(loaded, inputs))["certificates"]
    at = f"{tmp_path}/r.yaml:7"
    assert shown == {"at": at, "name": str(tmp_path / "site.pem"), "chain": GOOD, "key": key_text(KEY)}


@pytest.mark.parametrize("kind", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
@pytest.mark.parametrize("make", [ec_key, rsa_key, ed25519.Ed25519PrivateKey.generate])
def test_keys_of_every_kind_and_form(tmp_path: Path, make: Any, kind: PrivateFormat) -> None:
    key = make()
    if isinstance(key, ed25519.Ed25519PrivateKey):
        kind = PrivateFormat.PKCS8
    loaded = written(tmp_path, site_pem=signed(key), site_key=key_text(key, kind))
    assert warned(loaded) == []
    assert tls(plan(loaded))["certificates"][0]["key"] == key_text(key)


def test_files_that_only_a_lenient_reader_takes_are_written_anew(tmp_path: Path) -> None:
    """What stands in the plan can be read by the engine too, which otherwise would have to speak of a key."""
    files = {"site_pem": _joined(GOOD), "site_key": _joined(key_text(KEY)), "ca_pem": _joined(CA)}
    loaded = written(tmp_path, TREE.replace("reverse: {routes", "      client_ca: ca.pem\nreverse: {routes"), **files)
    assert warned(loaded) == []
    made = tls(plan(loaded))
    assert (made["certificates"][0]["chain"], made["certificates"][0]["key"]) == (GOOD, key_text(KEY))
    assert made["client"]["roots"] == CA


def _joined(text: str) -> str:
    """As a secret looks that went through a variable without quotes."""
    return text.replace("\n", " ")


@pytest.mark.parametrize("key", ["certificate", "key", "client_ca"])
def test_a_key_written_in_place_of_its_file_is_not_shown(tmp_path: Path, key: str) -> None:
    tls = {"certificates": [{"certificate": "site.pem", "key": "site.key"}], "client_ca": "ca.pem"}
    (tls if key == "client_ca" else tls["certificates"][0])[key] = key_text(KEY)  # type: ignore[index]
    listeners = {"web": {"bind": ":1", "role": "reverse", "tls": tls}}
    with pytest.raises(ConfigurationError) as caught:
        load_mapping({"listeners": listeners, "reverse": {"routes": [{"respond": {}}]}})
    (found,) = caught.value.diagnostics
    assert found.sentence == "is PEM text, where the name of a file is needed"
    assert key_text(KEY).splitlines()[1][:20] not in str(found)


def test_a_key_may_stand_in_the_file_of_the_certificate(tmp_path: Path) -> None:
    parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    text = f"# Café\n{key_text(KEY)}{parameters}subject=CN = a\n{GOOD}"
    loaded = written(tmp_path, TREE.replace(", key: site.key", ""), site_pem=text)
    (shown,) = tls(plan(loaded))["certificates"]
    assert (shown["chain"], shown["key"]) == (GOOD, key_text(KEY))
    assert gather(loaded, now=NOW).files == (tmp_path / "site.pem",)


def test_the_library_is_loaded_for_configurations_that_need_it(tmp_path: Path) -> None:
    """It takes long, and most commands on most configurations do without."""
    (tmp_path / "plain.yaml").write_text(PLAIN)
    written(tmp_path)
    code = (
        "import sys; from pathlib import Path; from reviver.compile import gather; "
        "from reviver.config import load_file; gather(load_file(Path(sys.argv[1]))); "
        "print('cryptography' in sys.modules)"
    )
    for name, wanted in (("plain.yaml", "False"), ("r.yaml", "True")):
        done = subprocess.run([sys.executable, "-c", code, name], cwd=tmp_path, capture_output=True, text=True)
        assert done.stdout.strip() == wanted, done.stderr


def test_a_chain_is_kept_in_its_order(tmp_path: Path) -> None:
    issuer = certificate(OTHER, subject="ca", authority=True)
    loaded = written(tmp_path, site_pem=signed(KEY) + issuer)
    assert tls(plan(loaded))["certificates"][0]["chain"].endswith(f"-----\n{issuer}")


def test_changed_files_make_another_plan(tmp_path: Path) -> None:
    before = plan(written(tmp_path))
    renewed = ec_key()
    after = plan(written(tmp_path, site_pem=signed(renewed), site_key=key_text(renewed)))
    assert before != after
    assert plan(written(tmp_path)) == before


# ---- what cannot be served


def test_missing_files_are_all_named(tmp_path: Path) -> None:
    loaded = written(tmp_path)
    (tmp_path / "site.pem").unlink()
    (tmp_path / "site.key").unlink()
    assert refused(loaded) == [
        AT_CERTIFICATE + "site.pem does not exist",
        AT_KEY + "site.key does not exist",
    ]


def test_a_folder_is_no_certificate(tmp_path: Path) -> None:
    (line,) = refused(written(tmp_path, TREE.replace("site.pem", ".")))
    assert line.startswith(AT_CERTIFICATE)
    assert line.endswith("cannot be read: Is a directory")


BROKEN = GOOD.replace("MII", "MIJ", 1)
SECOND = certificate(OTHER, subject="ca", authority=True) + GOOD


@pytest.mark.parametrize(
    ("files", "line"),
    [
        (
            {"site_pem": "MIIB"},
            AT_CERTIFICATE + "site.pem is not PEM text: it has no line -----BEGIN ...-----",
        ),
        ({"site_key": "\n"}, AT_KEY + "site.key is empty"),
        (
            {"site_key": key_text(KEY).partition("-----END")[0]},
            AT_KEY + "site.key breaks off: no -----END line (copy the whole file anew)",
        ),
        (
            {"site_pem": GOOD.partition("-----END")[0] + GOOD},
            AT_CERTIFICATE + "site.pem breaks off: no -----END line (copy the whole file anew)",
        ),
        (
            {"site_pem": key_text(KEY)},
            AT_CERTIFICATE + "site.pem holds no certificate (it holds a private key)",
        ),
        ({"site_pem": BROKEN}, AT_CERTIFICATE + "the certificate in site.pem is malformed or of an unknown kind"),
        (
            {"site_pem": GOOD + BROKEN},
            AT_CERTIFICATE + "certificate 2 in site.pem is malformed or of an unknown kind",
        ),
        ({"site_key": GOOD}, AT_KEY + "site.key holds no private key (it holds a certificate)"),
        (
            {"site_key": key_text(KEY).replace("MIG", "MIH", 1)},
            AT_KEY + "the key in site.key is malformed or of an unknown kind",
        ),
        (
            {"site_key": key_text(KEY, passphrase="secret")},
            AT_KEY + "the key in site.key is encrypted, and nobody types a passphrase when a proxy starts "
            "(decrypt it, readable by the proxy's user alone: openssl pkey -in FILE -out NEW)",
        ),
        (
            {"site_key": key_text(KEY, PrivateFormat.TraditionalOpenSSL, passphrase="secret")},
            AT_KEY + "the key in site.key is encrypted, and nobody types a passphrase when a proxy starts "
            "(decrypt it, readable by the proxy's user alone: openssl pkey -in FILE -out NEW)",
        ),
        (
            {"site_key": key_text(OTHER)},
            AT_KEY + "the key in site.key is not that of the certificate in site.pem",
        ),
        (
            {"site_pem": SECOND},
            AT_KEY + "the key in site.key is not that of the certificate in site.pem "
            "(it is that of certificate 2 in there, which has to stand first)",
        ),
    ],
    ids=lambda value: "" if isinstance(value, dict) else value.partition(": ")[2][:60],
)
def test_what_cannot_be_served_is_refused_with_file_and_reason(
    tmp_path: Path, files: dict[str, str], line: str
) -> None:
    assert refused(written(tmp_path, **files)) == [line]


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (rsa_key(1024), "is weak: RSA of 1024 bits (make one of 2048 bits or more)"),
        (
            ec.generate_private_key(ec.SECP256K1()),
            "is of a kind that TLS is not spoken with (use ECDSA (P-256) or RSA)",
        ),
        (dsa.generate_private_key(2048), "is of a kind that TLS is not spoken with (use ECDSA (P-256) or RSA)"),
    ],
    ids=["rsa-1024", "secp256k1", "dsa"],
)
def test_weak_and_strange_keys_are_refused(tmp_path: Path, key: Any, reason: str) -> None:
    assert refused(written(tmp_path, site_pem=signed(key), site_key=key_text(key))) == [
        f"{AT_KEY}the key in site.key {reason}"
    ]


def test_a_file_without_its_key_says_where_to_name_it(tmp_path: Path) -> None:
    assert refused(written(tmp_path, TREE.replace(", key: site.key", ""))) == [
        AT_CERTIFICATE + "site.pem holds no private key (name the key's file after key)"
    ]


def _pkcs12(_: bytes) -> bytes:
    return serialize_key_and_certificates(b"a", KEY, load_pem_x509_certificate(GOOD.encode()), None, NoEncryption())


@pytest.mark.parametrize(
    ("pem", "place", "convert", "command"),
    [
        (GOOD, "certificate", bytes, "openssl x509 -inform der -in site.{} -out site.{}.pem"),
        (key_text(KEY), "key", bytes, "openssl pkey -inform der -in site.{} -out site.{}.pem"),
        (GOOD, "certificate", _pkcs12, "openssl pkcs12 -in site.{} -nodes -out site.{}.pem"),
        (GOOD, "key", _pkcs12, "openssl pkcs12 -in site.{} -nodes -out site.{}.pem"),
    ],
    ids=["certificate", "key", "pkcs12", "pkcs12 as key"],
)
def test_a_binary_file_says_how_it_is_converted(
    tmp_path: Path, pem: str, place: str, convert: Callable[[bytes], bytes], command: str
) -> None:
    loaded = written(tmp_path)
    ending = "pem" if place == "certificate" else "key"
    der = base64.b64decode("".join(pem.splitlines()[1:-1]))
    (tmp_path / f"site.{ending}").write_bytes(convert(der))
    at = AT_CERTIFICATE if place == "certificate" else AT_KEY
    assert refused(loaded) == [
        f"{at}site.{ending} is not PEM text: it has no line -----BEGIN ...----- "
        f"(convert it: {command.format(ending, ending)})"
    ]


def test_a_storage_is_a_folder_or_not_there_yet(tmp_path: Path) -> None:
    tree = MANAGED.replace("directory_ca: ca.pem", "storage: ca.pem")
    assert refused(written(tmp_path, tree, ca_pem=CA)) == [
        "r.yaml:2:86: listeners.web.tls.automatic.storage: ca.pem is no folder (name one, or what is not there yet)"
    ]
    (tmp_path / "ca.pem").unlink()
    gather(load_file(tmp_path / "r.yaml", {}), now=NOW)


def test_an_endless_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    assert refused(written(tmp_path, TREE.replace("site.pem", "/dev/zero"))) == [
        AT_CERTIFICATE + "/dev/zero is larger than 1 MiB"
    ]


PEM_FILES = {"c.pem": certificate(KEY, "a.example", "192.0.2.1", authority=True), "k.pem": key_text(KEY)}


@given(
    name=st.sampled_from(sorted(PEM_FILES)),
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=5),
)
@settings(max_examples=300, deadline=None)
def test_damaged_files_are_refused_or_served_and_nothing_else(name: str, changes: list[tuple[int, int]]) -> None:
    head, body, foot = re.split(r"(?<=-----)\n|\n(?=-----)", PEM_FILES[name].strip())
    damaged = bytearray(base64.b64decode(body))
    for at, value in changes:
        damaged[at % len(damaged)] = value
    with tempfile.TemporaryDirectory() as folder:
        files = {**PEM_FILES, name: f"{head}\n{base64.b64encode(damaged).decode()}\n{foot}\n"}
        for file, text in files.items():
            (Path(folder) / file).write_text(text)
        pair = {"certificate": f"{folder}/c.pem", "key": f"{folder}/k.pem"}
        tls = {"certificates": [pair], "client_ca": f"{folder}/c.pem"}
        listeners = {"web": {"bind": ":1", "role": "reverse", "tls": tls}}
        routes = [{"match": {"host": "a.example"}, "respond": {}}]
        found: list[Diagnostic] = []
        try:
            loaded = load_mapping({"listeners": listeners, "reverse": {"routes": routes}})
            assert gather(loaded, now=NOW).certificates
        except ConfigurationError as error:
            found += error.diagnostics
        assert all(folder in item.sentence for item in found)


# ---- what can be served, though clients would refuse it


@pytest.mark.parametrize(
    ("made", "line"),
    [
        (
            certificate(KEY, "a.example", days=(-90, -1)),
            "the certificate in site.pem has expired: it was valid until 2030-05-31 00:00Z",
        ),
        (
            certificate(KEY, "a.example", days=(1, 90)),
            "the certificate in site.pem is not valid yet: it is from 2030-06-02 00:00Z on (is the clock right?)",
        ),
        (
            GOOD + certificate(OTHER, subject="ca", authority=True, days=(-90, -1)),
            "certificate 2 in site.pem has expired: it was valid until 2030-05-31 00:00Z",
        ),
    ],
    ids=["expired", "not yet", "chain"],
)
def test_a_doubtful_certificate_is_served_with_a_warning(tmp_path: Path, made: str, line: str) -> None:
    loaded = written(tmp_path, site_pem=made)
    place, _, path = AT_CERTIFICATE.partition(" ")
    assert warned(loaded) == [f"{place} warning: {path}{line}"]
    assert tls(plan(loaded))["certificates"][0]["chain"] == made


ROUTES = """\
reverse:
  routes:
    - {name: api, match: {host: HOSTS}, respond: {}}
"""


def hosts(text: str, tree: str = TREE) -> str:
    return tree.rpartition("reverse:")[0] + ROUTES.replace("HOSTS", text)


@pytest.mark.parametrize(
    "host", ["a.example", "A.example.", "b.a.example", "'*.a.example'", "192.0.2.1", "'[2001:db8::1]'", "'*.x.example'"]
)
def test_hosts_that_the_certificate_is_for(tmp_path: Path, host: str) -> None:
    made = certificate(KEY, "a.example", "*.A.example", "192.0.2.1", "2001:db8::1", "b.x.example")
    assert warned(written(tmp_path, hosts(f"[{host}]"), site_pem=made)) == []


@pytest.mark.parametrize("host", ["example", "b.example", "c.b.a.example", "*.example.org", "192.0.2.2"])
def test_hosts_that_no_certificate_is_for(tmp_path: Path, host: str) -> None:
    assert warned(written(tmp_path, hosts(f"[a.example, '{host}']"))) == [
        "r.yaml:10:45: warning: reverse.routes[0].match.host[1]: no certificate of listener web covers "
        f"{host}, a host of route api (site.pem is for a.example, *.a.example)"
    ]


def test_a_host_is_covered_when_one_of_the_listeners_covers_it(tmp_path: Path) -> None:
    second = """\
  other:
    {bind: ":9443", role: reverse, tls: {certificates: [{certificate: other.pem, key: other.key}]}}
reverse:"""
    tree = hosts("[a.example, c.example, d.example]", TREE.replace("reverse:", second, 1))
    loaded = written(tmp_path, tree, other_pem=certificate(OTHER, "c.example"), other_key=key_text(OTHER))
    (line,) = warned(loaded)
    assert "no certificate of listeners web, other covers d.example" in line


@pytest.mark.parametrize("source", ["internal: true", "automatic: true"])
def test_hosts_whose_certificates_come_by_themselves_need_no_file(tmp_path: Path, source: str) -> None:
    tree = TREE.replace("      certificates:", f"      {source}\n      certificates:")
    assert warned(written(tmp_path, hosts("[z.example]", tree))) == []


def test_of_many_names_some_are_listed(tmp_path: Path) -> None:
    made = certificate(KEY, *(f"h{number}.example" for number in range(9)))
    (line,) = warned(written(tmp_path, hosts("x.example"), site_pem=made))
    assert line.endswith("(site.pem is for h0.example, h1.example, h2.example, h3.example, 5 more)")


# ---- authorities

POOL = """\
listeners: {web: {bind: ":8080", role: reverse}}
reverse:
  routes: [{pool: a}]
  pools:
    a:
      servers: ["a:1"]
      tls: {ca: ca.pem, certificate: site.pem, key: site.key}
"""
CA = certificate(OTHER, subject="ca", authority=True)


def test_a_pools_authority_and_certificate_come_into_the_plan(tmp_path: Path) -> None:
    intermediate = signed(KEY)
    loaded = written(tmp_path, POOL, ca_pem=f"an intermediate\n{intermediate}the root\n{CA}")
    reverse = plan(loaded)["reverse"]
    assert reverse is not None
    upstream = reverse["pools"][0]["tls"]
    assert upstream is not None and upstream["certificate"] is not None
    assert upstream["roots"] == intermediate + CA
    assert upstream["certificate"]["chain"] == GOOD


@pytest.mark.parametrize("made", [CA, certificate(OTHER), certificate(OTHER, authority=None)])
def test_an_authority_is_what_signs_others_or_itself(tmp_path: Path, made: str) -> None:
    assert warned(written(tmp_path, POOL, ca_pem=made)) == []


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (signed(KEY), "ca.pem holds no certificate of an authority (it has to be one that signs others)"),
        (key_text(KEY), "ca.pem holds no certificate (it holds a private key)"),
    ],
)
def test_an_authority_that_vouches_for_nobody_is_refused(tmp_path: Path, made: str, reason: str) -> None:
    assert refused(written(tmp_path, POOL, ca_pem=made)) == [f"r.yaml:7:17: reverse.pools.a.tls.ca: {reason}"]


def test_an_expired_authority_is_warned_of(tmp_path: Path) -> None:
    made = certificate(OTHER, subject="ca", authority=True, days=(-90, -1))
    assert warned(written(tmp_path, POOL, ca_pem=made)) == [
        "r.yaml:7:17: warning: reverse.pools.a.tls.ca: ca.pem holds only authorities whose certificates have expired"
    ]


@pytest.mark.parametrize(("key", "required"), [("", True), ("required", True), ("optional", False)])
def test_client_certificates_are_asked_for(tmp_path: Path, key: str, required: bool) -> None:
    more = "      client_ca: ca.pem\n" + (f"      client_certificate: {key}\n" if key else "")
    loaded = written(tmp_path, TREE.replace("reverse: {routes", f"{more}reverse: {{routes"), ca_pem=CA)
    assert tls(plan(loaded))["client"] == {"at": f"{tmp_path}/r.yaml:8", "roots": CA, "required": required}
    assert tmp_path / "ca.pem" in gather(loaded, now=NOW).files


def test_without_its_file_an_authority_does_not_become_everybody(tmp_path: Path) -> None:
    """A plan that was compiled without what it needs trusts nobody, rather than the system's roots."""
    reverse = plan(written(tmp_path, POOL, ca_pem=CA), Inputs())["reverse"]
    assert reverse is not None and reverse["pools"][0]["tls"] is not None
    assert reverse["pools"][0]["tls"]["roots"] == ""


# ---- what the control plane adds

MANAGED = """\
listeners:
  web: {bind: ":8443", role: reverse, tls: {automatic: {domains: a.example, directory_ca: ca.pem}}}
  dev: {bind: ":9443", role: reverse, tls: {internal: true}}
reverse: {routes: [{respond: {}}]}
"""


def test_certificates_that_come_by_themselves_may_come_later(tmp_path: Path) -> None:
    made = plan(written(tmp_path, MANAGED, ca_pem=CA))
    assert tls(made)["certificates"] == tls(made, 1)["certificates"] == []
    assert tls(made, 1)["internal"] is None
    assert made["challenges"] == {"http": [], "alpn": []}


def test_what_the_control_plane_has_is_put_into_the_plan(tmp_path: Path) -> None:
    loaded = written(tmp_path, MANAGED, ca_pem=CA)
    inputs = gather(loaded, now=NOW)
    proof: Certificate = {"at": "x", "name": "proof", "chain": "c", "key": "k"}
    given = Inputs(
        authorities=inputs.authorities,
        automatic={"web": [("a.example", "chain", "key")]},
        internal={"dev": ("authority", "its key")},
        challenges={"http": [("token", "token.thumb")], "alpn": [("a.example", proof)]},
    )
    made = plan(loaded, given)
    at = f"{tmp_path}/r.yaml"
    assert tls(made)["certificates"] == [{"at": f"{at}:2", "name": "a.example", "chain": "chain", "key": "key"}]
    internal = {"at": f"{at}:3", "name": "internal", "chain": "authority", "key": "its key"}
    assert tls(made, 1)["internal"] == internal
    assert json.loads(json.dumps(made["challenges"])) == {
        "http": [["token", "token.thumb"]],
        "alpn": [["a.example", proof]],
    }
    assert list(inputs.authorities.values()) == [CA]
