import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from reviver.compile import FINGERPRINT, Inputs, compile_plan
from reviver.config import find_default, json_schema, load_file, load_mapping
from reviver.errors import ConfigurationError

TREE: dict[str, Any] = {
    "listeners": {"web": {"bind": ":8080", "role": "reverse"}},
    "reverse": {"routes": [{"pool": "api"}], "pools": {"api": {"servers": ["127.0.0.1:9001"]}}},
}
TOML = """\
listeners.web = { bind = ":8080", role = "reverse" }
reverse = { routes = [{ pool = "api" }], pools = { api = { servers = ["127.0.0.1:9001"] } } }
"""


def refused(path: Path) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load_file(path, {})
    return [str(diagnostic) for diagnostic in caught.value.diagnostics]


@pytest.mark.parametrize("name", ["a.json", "a.yaml", "a.yml", "a.toml", "a.conf"])
def test_each_format_gives_the_same_configuration(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(TOML if name == "a.toml" else json.dumps(TREE, indent=1))
    loaded = load_file(path, {})
    assert loaded.config == load_mapping(TREE).config
    assert loaded.config.reverse is not None
    assert list(loaded.config.reverse.pools) == ["api"]


def test_the_base_is_the_folder_of_the_file_not_the_current_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "r.json").write_text(json.dumps(TREE))
    monkeypatch.chdir(tmp_path)
    loaded = load_file(Path("conf/r.json"), {})
    assert loaded.base == tmp_path / "conf"
    assert loaded.path == tmp_path / "conf" / "r.json"
    assert loaded.positions.place(("reverse", "pools", "api")) == "conf/r.json:1"


def test_the_environment_is_the_processs_own_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps({**TREE, "via": "${PROXY_NAME}"}))
    monkeypatch.setenv("PROXY_NAME", "edge-7")
    assert load_file(path).config.via == "edge-7"
    with pytest.raises(ConfigurationError, match="the environment has no variable PROXY_NAME"):
        load_file(path, {})


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    missing = tmp_path / "none.yaml"
    assert refused(missing) == [f"{missing}: there is no such file"]
    assert refused(tmp_path) == [f"{tmp_path}: cannot be read: Is a directory"]


def test_a_text_that_is_not_utf_8_is_refused_at_its_place(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes("a: é\nb: é".encode() + b"\xff")
    assert refused(path) == [f"{path}:2:5: the text is not UTF-8 (save the file as UTF-8)"]


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(TREE).encode())
    assert load_file(path, {}).config == load_mapping(TREE).config


def test_a_generated_configuration_is_named_and_has_no_lines() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_mapping({**TREE, "via": "a b", "wrokers": 1}, name="reviver reverse")
    assert [str(diagnostic) for diagnostic in caught.value.diagnostics] == [
        "reviver reverse: via: 'a b' is not a pseudonym (up to 64 letters, digits, hyphens, dots and underscores)",
        "reviver reverse: wrokers: is not a known key (did you mean workers?)",
    ]
    assert load_mapping(TREE).positions.place(("reverse", "routes", 0)) == "command line"


def test_nothing_is_substituted_in_a_generated_configuration() -> None:
    routes = [{"respond": {"body": "${HOME}"}}]
    config = load_mapping({**TREE, "reverse": {"routes": routes}}).config
    assert config.reverse is not None
    assert config.reverse.routes[0].respond is not None
    assert config.reverse.routes[0].respond.body == "${HOME}"


def test_find_default_takes_the_first_that_is_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none of reviver\.yaml, reviver\.yml, reviver\.toml, reviver\.json"):
        find_default(tmp_path)
    for name in ("reviver.json", "reviver.toml", "reviver.yml", "reviver.yaml"):
        (tmp_path / name).touch()
        assert find_default(tmp_path) == tmp_path / name


def test_a_configuration_of_many_routes_is_checked_and_compiled(tmp_path: Path) -> None:
    routes = [{"match": {"host": f"h{i}.example"}, "pool": "api"} for i in range(3000)]
    path = tmp_path / "r.json"
    path.write_text(json.dumps({**TREE, "reverse": {**TREE["reverse"], "routes": routes}}))
    loaded = load_file(path, {})
    plan = compile_plan(loaded, Inputs(), fingerprint=FINGERPRINT)
    assert plan["reverse"] is not None
    assert plan["reverse"]["routes"][-1]["name"] == "route-3000"
    assert loaded.warnings == ()


@pytest.mark.parametrize("name", ["r.yaml", "r.json"])
def test_libraries_of_other_formats_are_not_loaded(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(json.dumps(TREE))
    code = (
        "import sys; from pathlib import Path; from reviver.config import load_file; "
        f"load_file(Path({str(path)!r})); print(*sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = set(done.stdout.split())
    assert ("yaml" in modules) == (name == "r.yaml")
    assert ("tree_sitter_json" in modules) == (name == "r.json")
    assert not modules & {"tree_sitter_toml", "tomllib", "rich", "click"}


def test_the_schema_accepts_what_is_accepted_and_refuses_what_is_not() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(json_schema())
    validator.check_schema(json_schema())
    validator.validate(TREE)
    validator.validate({**TREE, "workers": 2, "limits": {"body": "none", "head": "16KiB"}, "timeout": {"head": "5s"}})
    servers = {"api": {"servers": [{"address": "a:1", "weight": 2}, "b:1"]}}
    validator.validate({**TREE, "reverse": {"routes": [{"redirect": "/x"}], "pools": servers}})
    secure = {"bind": ":8443", "role": "reverse", "hsts": "180d", "tls": {"automatic": True, "min_version": 1.3}}
    validator.validate({**TREE, "listeners": {"secure": secure, "web": {**TREE["listeners"]["web"], "http2": False}}})
    pool = {"servers": ["a:1"], "protocol": "h2", "tls": True}
    route = {"pool": "a", "match": {"client_certificate": {"subject": ["CN=a", "~b"]}}}
    validator.validate({**TREE, "reverse": {"routes": [route], "pools": {"a": pool, "b": {**pool, "tls": {}}}}})
    for wrong in (
        {},
        {**TREE, "wrokers": 1},
        {**TREE, "timeout": {"head": "5"}},
        {**TREE, "via": None},
        {**TREE, "reverse": {"pools": {"a": {**pool, "tls": False}}}},
    ):
        assert not validator.is_valid(wrong), wrong


def _tls(folder: Path, listener: str, pool: str = "") -> list[str]:
    (folder / "r.yaml").write_text(
        f"listeners: {{web: {{bind: ':1', role: reverse, {listener}}}}}\n"
        f"reverse: {{routes: [{{pool: a}}], pools: {{a: {{servers: ['a:1']{pool}}}}}}}\n"
    )
    try:
        load_file(folder / "r.yaml", {})
    except ConfigurationError as error:
        return [f"{item.path}: {item.sentence} ({item.hint})" for item in error.diagnostics]
    return []


TLS = "listeners.web.tls"
NEEDED = "where a table of keys is needed"


@pytest.mark.parametrize(
    ("listener", "line"),
    [
        ("tls: {certificates: site.pem}", f"{TLS}.certificates: is 'site.pem', where a list of tables is needed "
         "(write [{certificate: FILE, key: FILE}])"),
        ("tls: true", f"{TLS}: is 'true', {NEEDED} (write {{internal: true}} for a local authority, "
         "{automatic: true} for Let's Encrypt, or give certificates)"),
        ("tls: internal", f"{TLS}: is 'internal', {NEEDED} (write {{internal: true}} for a local authority, "
         "{automatic: true} for Let's Encrypt, or give certificates)"),
        ("tls: automatic", f"{TLS}: is 'automatic', {NEEDED} (write {{automatic: true}})"),
        ("tls: false", f"{TLS}: cannot be false (leave it out)"),
        ("tls: {internal: true}, hsts: false", "listeners.web.hsts: cannot be false "
         "(leave it out; 0s takes back what browsers were told)"),
        ("tls: {internal: true, min_version: 1.1}", f"{TLS}.min_version: '1.1' is not one of 1.2, 1.3 "
         "(only 1.2 and 1.3 are served: older versions of TLS are not safe)"),
        ("tls: {certificates: []}", f"{TLS}: has no certificates (give one of certificates, automatic, internal)"),
        ("tls: {certificates: {certificate: a.pem, kye: b}}", f"{TLS}.certificates[0].kye: is not a known key "
         "(did you mean key?)"),
        ("tls: {certificates: {key: b}}", f"{TLS}.certificates[0].certificate: is missing (None)"),
    ],
)  # fmt: skip
def test_what_is_written_in_place_of_tls_gets_one_error_that_helps(tmp_path: Path, listener: str, line: str) -> None:
    assert _tls(tmp_path, listener) == [line]


@pytest.mark.parametrize("name", ["http2", "HTTP/2", "h2c"])
def test_a_protocol_by_another_name_is_recognised(tmp_path: Path, name: str) -> None:
    assert _tls(tmp_path, "http2: true", f", protocol: {name}") == [
        f"reverse.pools.a.protocol: '{name}' is not one of auto, h2, http/1.1 (did you mean h2?)"
    ]


def test_one_certificate_needs_no_list(tmp_path: Path) -> None:
    assert _tls(tmp_path, "tls: {certificates: {certificate: a.pem, key: a.key}, min_version: 1.2}") == []
    (item,) = load_file(tmp_path / "r.yaml", {}).config.listeners["web"].tls.certificates  # type: ignore[union-attr]
    assert (item.certificate, item.key) == ("a.pem", "a.key")
