"""What `reviver check` says of certificates: more than a start does."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reviver.cli import main
from tests.support.pem import NOW, certificate, ec_key, key_text

KEY = ec_key()
TREE = """\
listeners:
  secure:
    bind: "127.0.0.1:8443"
    role: reverse
    tls: {certificates: [{certificate: site.pem, key: site.key}]}
reverse:
  routes: [{pool: a, match: {host: [a.example, b.example]}}]
  pools: {a: {servers: ["127.0.0.1:1"], tls: {insecure: true}}}
"""
LEFT = (NOW - datetime.now(UTC)) // timedelta(days=1)
"""The certificates here are judged by the real clock: days are counted from today."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reviver.yaml").write_text(TREE)
    (tmp_path / "site.key").write_text(key_text(KEY))


def test_doubts_are_errors_beside_warnings_that_are_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "site.pem").write_text(certificate(KEY, "a.example", days=(-LEFT - 90, -LEFT - 2)))
    assert main.run(["check"]) == 2
    expired, uncovered, insecure, count = capsys.readouterr().err.splitlines()
    assert expired.startswith(
        "reviver.yaml:5:40: listeners.secure.tls.certificates[0].certificate: the certificate in "
    )
    assert " has expired: " in expired
    assert "no certificate of listener secure covers b.example" in uncovered
    assert insecure.endswith(
        "warning: reverse.pools.a.tls.insecure: pool a: the certificates of its servers are not checked (insecure)"
    )
    assert count == "2 errors"


def test_programs_are_told_of_them_as_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "site.pem").write_text(certificate(KEY, "a.example", days=(-LEFT - 2, -LEFT + 90)))
    assert main.run(["check", "--json"]) == 2
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is False
    assert [(item["line"], item["severity"]) for item in answer["diagnostics"]] == [(7, "error"), (8, "warning")]


def test_a_certificate_for_every_host_is_good(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "site.pem").write_text(certificate(KEY, "a.example", "b.example", days=(-LEFT - 2, -LEFT + 90)))
    assert main.run(["check"]) == 0
    assert "is good: 1 listener: secure" in capsys.readouterr().out


def test_advice_leaves_it_good(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = certificate(KEY, "a.example", "b.example", days=(-LEFT - 90, -LEFT + 5))
    (tmp_path / "site.pem").write_text(made)
    assert main.run(["check"]) == 0
    said = capsys.readouterr()
    assert "is good: " in said.out
    assert "warning: listeners.secure.tls.certificates[0].certificate: the certificate in " in said.err
    assert "site.pem expires soon: " in said.err
    assert main.run(["check", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is True
    assert [(item["line"], item["severity"]) for item in answer["diagnostics"]] == [(5, "warning"), (8, "warning")]


def test_splits_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "reviver.yaml").write_text(
        "listeners: {web: {bind: '127.0.0.1:8080', role: reverse}}\n"
        "reverse:\n  routes: [{split: s}]\n  pools: {a: {servers: ['a:1']}, b: {servers: ['b:1']}}\n"
        "  splits: {s: {variants: {a: 50, b: 50}}}\n"
    )
    assert main.run(["check", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["pools"], answer["splits"], answer["diagnostics"]) == (2, 1, [])
    assert main.run(["check"]) == 0
    assert "; 2 pools; 1 split; 2 servers; " in capsys.readouterr().out


def test_a_sticky_cookie_without_a_secret_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "reviver.yaml").write_text(
        "listeners: {web: {bind: '127.0.0.1:8080', role: reverse}}\n"
        "reverse:\n  routes: [{pool: a}]\n  pools:\n    a:\n      servers: ['a:1']\n      sticky: {cookie: server}\n"
    )
    assert main.run(["check"]) == 0
    out, err = capsys.readouterr()
    assert "is good: " in out
    assert err.startswith("reviver.yaml:7:7: warning: reverse.pools.a.sticky: pool a: without a secret ")
