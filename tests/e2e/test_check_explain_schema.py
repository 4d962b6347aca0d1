"""The commands that look at a configuration without running it."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.support.client import absolute, fetch
from tests.support.origin import Origin
from tests.support.proxy import Proxy, cli, forward, reverse

BROKEN = """\
listeners:
  web: {bind: '127.0.0.1:1', role: revers}
reverse:
  routes:
    - {name: a, match: {path: "/*"}, pool: apii}
  pools:
    api: {servers: ['127.0.0.1:2'], balanse: random}
"""
GOOD = """\
listeners:
  web: {bind: "127.0.0.1:8080", role: reverse}
  office: {bind: "127.0.0.1:3128", role: forward}
reverse:
  routes:
    - {name: gone, match: {path: "/old/*"}, respond: {status: 410, body: gone}}
    - {name: move, match: {path: /go}, redirect: {to: "https://new.example/", status: 308}}
    - name: api
      match: {host: "*.api.example", method: [GET]}
      pool: api
    - {name: inside, match: {client: ["10.0.0.0/8"]}, pool: api}
    - {name: beta, match: {header: {x-beta: "1"}}, pool: api}
  pools:
    api: {servers: ["127.0.0.1:9001", "127.0.0.1:9002"]}
forward:
  connect_ports: [443]
  private_destinations: deny
"""


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "reviver.yaml"
    path.write_text(GOOD)
    return path


def test_check_says_what_is_good(good: Path) -> None:
    done = cli("check", good)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert cli("check", cwd=good.parent).returncode == 0, "reviver.yaml by default"


def test_check_names_every_error_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(BROKEN)
    done = cli("check", tmp_path / "r.yaml")
    text = done.stdout + done.stderr
    assert done.returncode == 2
    lines = [line for line in text.splitlines() if "r.yaml:" in line]
    for place, path, hint in (
        ("r.yaml:2:", "listeners.web.role", "reverse"),
        ("r.yaml:5:", "reverse.routes[0].pool", "api"),
        ("r.yaml:7:", "reverse.pools.api.balanse", "balance"),
    ):
        [line] = [line for line in lines if place in line]
        assert path in line
        assert "did you mean" in line
        assert hint in line.split("did you mean")[1]
    assert "Traceback" not in text


def test_check_as_json(tmp_path: Path, good: Path) -> None:
    (tmp_path / "r.yaml").write_text(BROKEN)
    done = cli("check", tmp_path / "r.yaml", "--json")
    assert done.returncode == 2
    assert len(json.dumps(json.loads(done.stdout))) > 100
    assert json.loads(cli("check", good, "--json").stdout)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("syntax.yaml", "listeners: [", ["syntax.yaml:"]),
        ("tab.yaml", "a:\n\tb: 1\n", ["tab.yaml:2:"]),
        ("syntax.json", '{"listeners": ', ["syntax.json:1:"]),
        ("syntax.toml", "a = [1,\n", ["syntax.toml:"]),
        ("twice.yaml", "logs: []\nlogs: []\n", ["twice.yaml:2:"]),
        ("list.yaml", "- 1\n", ["list.yaml:1:"]),
        ("duration.yaml", "timeout: {head: 5 parsecs}\n", ["duration.yaml:1:", "timeout.head"]),
        ("size.yaml", "limits: {head: 32KK}\n", ["size.yaml:1:", "limits.head"]),
        ("later.yaml", "hooks: [x.py]\n", ["later.yaml:1:", "hooks"]),
        ("env.yaml", "via: ${NOT_SET_ANYWHERE}\n", ["env.yaml:1:", "NOT_SET_ANYWHERE"]),
        ("empty.yaml", "", ["empty.yaml"]),
        ("binary.yaml", "\x00\x01", ["binary.yaml"]),
    ],
)
@pytest.mark.parametrize("command", ["check", "run"])
def test_every_bad_file_is_exit_2_with_its_place(
    tmp_path: Path, command: str, name: str, text: str, words: list[str]
) -> None:
    (tmp_path / name).write_text(text)
    done = cli(command, tmp_path / name)
    output = done.stdout + done.stderr
    assert done.returncode == 2, output
    for word in words:
        assert word in output
    assert "Traceback" not in output


@pytest.mark.parametrize("command", ["check", "run", "explain"])
def test_a_missing_file_is_one_line(tmp_path: Path, command: str) -> None:
    arguments = [command, tmp_path / "nothing.yaml", *(["GET", "http://x/"] if command == "explain" else [])]
    done = cli(*arguments)
    assert done.returncode == 2
    assert "nothing.yaml" in done.stderr
    assert len([line for line in done.stderr.splitlines() if "nothing.yaml" in line]) == 1
    empty = cli(command, *arguments[2:], cwd=tmp_path)
    assert empty.returncode == 2
    assert "Traceback" not in empty.stderr


def test_the_same_tree_in_three_languages(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(
        '{"listeners": {"web": {"bind": "127.0.0.1:8080", "role": "reverse"}},\n'
        ' "reverse": {"routes": [{"respond": {"body": "x"}}]}}'
    )
    (tmp_path / "a.toml").write_text(
        '[listeners.web]\nbind = "127.0.0.1:8080"\nrole = "reverse"\n\n[[reverse.routes]]\nrespond = {body = "x"}\n'
    )
    (tmp_path / "a.yaml").write_text(
        "listeners: {web: {bind: '127.0.0.1:8080', role: reverse}}\nreverse: {routes: [{respond: {body: x}}]}\n"
    )
    for name in ("a.json", "a.toml", "a.yaml"):
        done = cli("check", tmp_path / name)
        assert done.returncode == 0, name + done.stderr


def explain(path: Path, *arguments: object) -> Any:
    done = cli("explain", path, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["GET", "http://x.example/old/page"], ["gone", "410", "reviver.yaml:6"]),
        (["GET", "http://x.example/go"], ["move", "308", "reviver.yaml:7"]),
        (["GET", "http://a.api.example/"], ["api", "127.0.0.1:9001", "127.0.0.1:9002", "reviver.yaml:8"]),
        (["GET", "http://x.example/", "--client", "10.1.1.1"], ["inside", "127.0.0.1:9001"]),
        (["GET", "http://x.example/", "-H", "X-Beta: 1"], ["beta", "127.0.0.1:9001"]),
        (["GET", "http://x.example/"], ["no_route", "404"]),
        (["CONNECT", "example.com:25", "--listener", "office"], ["connect_port_denied", "403", "reviver.yaml:16"]),
        (["GET", "http://127.0.0.1/", "--listener", "office"], ["private_destination", "403", "reviver.yaml:17"]),
        (["GET", "http://example.com/", "--listener", "office"], ["forwarded"]),
    ],
)
def test_explain(good: Path, arguments: list[str], words: list[str]) -> None:
    for text in (cli("explain", good, *arguments).stdout, json.dumps(explain(good, *arguments))):
        for word in words:
            assert word in text, f"{word} is missing in {text}"


def test_explain_says_why_others_did_not_match(good: Path) -> None:
    text = json.dumps(explain(good, "POST", "http://a.api.example/"))
    assert "method" in text.lower()


def test_explain_sends_nothing_and_agrees_with_live_traffic() -> None:
    with Origin() as origin:
        routes = [
            {"name": "a", "match": {"path": "/a/*", "method": ["GET"]}, "pool": "all"},
            {"name": "b", "match": {"header": {"x-b": "*"}}, "respond": {"status": 418, "body": "b"}},
            {"name": "c", "match": {"query": {"q": "~^[0-9]+$"}}, "redirect": "https://c.example/"},
        ]
        with Proxy(reverse([origin.address], routes=routes)) as proxy:
            for number, (path, fields) in enumerate(
                [("/a/1", []), ("/x", [("X-B", "1")]), ("/x?q=12", []), ("/x?q=a", []), ("/a/%2e%2e/x", [])]
            ):
                headers = [part for name, value in fields for part in ("-H", f"{name}: {value}")]
                seen = len(origin.requests)
                told = explain(proxy.path, "GET", f"http://test.example{path}", *headers)
                assert len(origin.requests) == seen
                status = fetch(proxy.port, path, fields).status
                record = proxy.wait_records(lambda record: True, number + 1)[-1]
                assert record["status"] == status
                assert told["route"] == record.get("route"), path
                assert told["reason"] == record["reason"], path


def test_explain_agrees_on_the_forward_side() -> None:
    with Proxy(forward(private_destinations="deny", clients=["127.0.0.1"])) as proxy:
        told = explain(proxy.path, "GET", "http://10.0.0.1/x")
        assert absolute(proxy.port, "http://10.0.0.1/x").status == 403
        assert told["reason"] == proxy.record("/x")["reason"] == "private_destination"
        told = explain(proxy.path, "GET", "http://93.184.216.34/", "--client", "127.0.0.2")
        assert told["reason"] == "client_not_allowed"


@pytest.mark.parametrize(
    "arguments",
    [
        ["GET"],
        [],
        ["GET", "nonsense url"],
        ["GET", "http://x/", "--listener", "nobody"],
        ["GET", "http://x/", "--client", "x"],
        ["GET", "http://x/", "-H", "novalue"],
    ],
)
def test_explain_misused(good: Path, arguments: list[str]) -> None:
    done = cli("explain", *arguments, cwd=good.parent)
    assert done.returncode in (1, 2)
    assert done.stderr.strip()
    assert "Traceback" not in done.stderr


def test_schema_accepts_what_check_accepts(good: Path) -> None:
    done = cli("schema")
    assert done.returncode == 0
    schema = json.loads(done.stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(yaml.safe_load(GOOD))
    with Origin() as origin:
        validator.validate(reverse([origin.address]))
        validator.validate(forward())
    assert list(validator.iter_errors(yaml.safe_load(BROKEN)))


def test_help_and_version() -> None:
    assert "reverse" in cli("--help").stdout
    assert cli("--version").stdout.strip().split()[-1][0].isdigit()
    for command in ("run", "check", "reverse", "forward", "demo", "schema", "explain", "status", "reload", "stop"):
        done = cli(command, "--help")
        assert done.returncode == 0, command
        assert command in done.stdout
    assert cli("no-such-command").returncode == 2
