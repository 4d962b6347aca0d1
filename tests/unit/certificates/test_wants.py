"""What configurations want."""

from pathlib import Path
from typing import Any

from reviver.certificates import wants
from reviver.config import Loaded, load_mapping

LISTENERS: dict[str, Any] = {
    "plain": {"bind": "127.0.0.1:80", "role": "reverse"},
    "web": {"bind": "127.0.0.1:443", "role": "reverse", "tls": {"automatic": {"email": "ops@example.com"}}},
}
ROUTES = [
    {"name": "shop", "match": {"host": ["www.example.com", "*.example.com", "example.com"]}, "respond": {}},
    {"name": "again", "match": {"host": "www.example.com", "path": "/x"}, "respond": {}},
]


def _loaded(listeners: dict[str, Any], **top: Any) -> Loaded:
    return load_mapping({"listeners": listeners, "reverse": {"routes": ROUTES}, **top}, "r.yaml")


def _tls(**tls: Any) -> dict[str, Any]:
    return {"web": {"bind": "127.0.0.1:443", "role": "reverse", "tls": tls}}


def test_the_names_are_the_exact_hosts_of_the_routes(tmp_path: Path) -> None:
    want = wants.wanted(_loaded(LISTENERS), tmp_path)["web"]
    assert want.names == ("www.example.com", "example.com")
    assert want.directory == "https://acme-v02.api.letsencrypt.org/directory"
    assert want.authority == "acme-v02.api.letsencrypt.org"
    assert want.email == "ops@example.com"
    assert want.storage.folder == tmp_path
    assert want.challenges == ("http-01", "tls-alpn-01")


def test_without_a_plain_listener_nobody_answers_http_01(tmp_path: Path) -> None:
    want = wants.wanted(_loaded(_tls(automatic={"domains": "a.example"})), tmp_path)["web"]
    assert want.names == ("a.example",)
    assert want.challenges == ("tls-alpn-01",)


def test_what_is_given_holds(tmp_path: Path) -> None:
    automatic = {
        "domains": ["b.example", "a.example", "b.example"],
        "directory": "https://ca.internal:9000/acme/directory",
        "directory_ca": "root.pem",
        "storage": "certs",
        "challenges": ["tls-alpn-01"],
        "key": "rsa",
        "external_account": {"id": "kid", "key": "c2VjcmV0"},
    }
    loaded = _loaded(LISTENERS | _tls(automatic=automatic))
    want = wants.wanted(loaded, tmp_path)["web"]
    assert want.names == ("b.example", "a.example")
    assert want.storage.folder == loaded.base / "certs"
    assert want.directory_ca == loaded.base / "root.pem"
    assert (want.challenges, want.key, want.external_account) == (("tls-alpn-01",), "rsa", ("kid", "c2VjcmV0"))
    assert "c2VjcmV0" not in repr(want)


def test_the_place_in_the_configuration_is_no_difference(tmp_path: Path) -> None:
    """Else each edit above would begin an order anew."""
    first, second = (wants.wanted(_loaded(LISTENERS), tmp_path)["web"] for _ in range(2))
    moved = type(second)(**{name: getattr(second, name) for name in second.__slots__} | {"at": "r.yaml:99"})
    assert first == moved
    assert hash(first) == hash(moved)


def test_names_in_the_storage_tell_wants_apart(tmp_path: Path) -> None:
    def name(**automatic: Any) -> tuple[str, str]:
        want = wants.wanted(_loaded(LISTENERS | _tls(automatic=automatic)), tmp_path)["web"]
        return want.name, want.account

    base = name(domains=["a.example", "b.example"])
    assert base[0].startswith("automatic/a.example-")
    assert base[1].startswith("accounts/acme-v02.api.letsencrypt.org-")
    # the order of names makes no other certificate
    assert name(domains=["b.example", "a.example"])[0].endswith(base[0][-10:])
    assert name(domains=["a.example"])[0] != base[0]
    assert name(domains=["a.example", "b.example"], key="rsa")[0] != base[0]
    assert name(domains=["a.example", "b.example"], directory="https://ca.example/")[0] != base[0]
    # another address is another account, and the same certificate
    other = name(domains=["a.example", "b.example"], email="x@example.com")
    assert other[0] == base[0]
    assert other[1] != base[1]


def test_titles_stay_short(tmp_path: Path) -> None:
    many = [f"{number}.example" for number in range(10)]
    want = wants.wanted(_loaded(_tls(automatic={"domains": many})), tmp_path)["web"]
    assert want.title == "0.example, 1.example, 2.example and 7 more"


def test_the_listeners_of_the_local_authority_are_found() -> None:
    assert wants.internal(_loaded(LISTENERS)) == ()
    assert wants.internal(_loaded(_tls(internal=True))) == ("web",)


def test_every_file_of_a_certificate_is_followed() -> None:
    listeners = _tls(
        certificates=[{"certificate": "a.pem", "key": "a.key"}, {"certificate": "/etc/b.pem"}],
        client_ca="staff.pem",
        automatic={"directory_ca": "root.pem", "domains": "a.example"},
    )
    pools = {"app": {"servers": ["127.0.0.1:1"], "tls": {"ca": "ca.pem", "certificate": "p.pem", "key": "p.key"}}}
    loaded = load_mapping(
        {"listeners": listeners, "reverse": {"routes": [{"name": "x", "pool": "app"}], "pools": pools}}
    )
    names = ("a.pem", "a.key", "/etc/b.pem", "staff.pem", "root.pem", "ca.pem", "p.pem", "p.key")
    assert wants.certificate_files(loaded) == {loaded.base / name for name in names}
