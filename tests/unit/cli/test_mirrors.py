"""`reviver canary diff`: what the proxy is asked, and how its answer is told."""

import json
from typing import Any

import pytest

from reviver.cli import main
from tests.unit.cli.asking import answering, printed

MIRROR: dict[str, Any] = {
    "name": "shop", "of": "split", "at": "r.yaml:15", "pool": "v2", "percent": 1000,
    "compare": {"headers": ["content-type"], "body": True}, "copied": 120, "skipped": {"body": 4, "busy": 1},
    "compared": 100, "same": 80, "unanswered": 2, "noise": {"body": 100, "header etag": 1}, "more": 0,
    "differences": [
        {"route": "shop", "what": "status", "answered": "200", "mirrored": "500", "count": 15,
         "paths": ["/a", "/b"]},
        {"route": "all", "what": "header content-type", "answered": "text/html", "mirrored": "missing", "count": 5,
         "paths": ["/c"]},
    ],
}  # fmt: skip
NOTHING = {"copied": 0, "skipped": {}, "compared": 0, "same": 0, "unanswered": 0, "noise": {}, "differences": []}


@pytest.fixture
def answer() -> dict[str, Any]:
    return {"mirrors": [MIRROR]}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any]) -> list[tuple[str, Any]]:
    return answering(monkeypatch, lambda _: answer)


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert main.run(["canary", "diff", *arguments, "--socket", "/x"]) == 0
    return printed(capsys)


def test_differences_are_a_table(asked: list[tuple[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "shop") == [
        "split shop: 10 % of the requests are copied to v2",
        "120 copied",
        "4 not copied: with a body that was too long, of unknown length, or did not come",
        "1 not copied: while too many copies were under way",
        "100 compared: 80 the same (80 %), 20 with differences",
        "2 not compared: people's own pool did not answer them twice",
        "",
        "what differs people get v2 answers times route for example",
        "status 200 500 15 shop /a /b",
        "header content-type text/html missing 5 all /c",
        "",
        "not judged, since two answers of people's own pool differ too: body (100 times), header etag (once)",
    ]
    assert asked == [("canary.diff", {"name": "shop"})]


def test_without_differences_there_is_no_table(
    asked: object, answer: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    answer["mirrors"] = [{**MIRROR, "same": 100, "differences": [], "noise": {}, "skipped": {}, "unanswered": 0}]
    assert shown(capsys)[-1] == "100 compared: 100 the same (100 %), 0 with differences"


def test_more_kinds_than_are_listed_are_said(
    asked: object, answer: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    answer["mirrors"] = [{**MIRROR, "more": 17}]
    assert "and 17 further ones, of kinds that came after these" in shown(capsys)


@pytest.mark.parametrize(
    ("mirrors", "last"),
    [
        ([], "the configuration has no mirrors"),
        ([{**MIRROR, **NOTHING}], "nothing was mirrored yet"),
        ([{**MIRROR, **NOTHING, "copied": 3}], "nothing was compared yet: only GET and HEAD are"),
        ([{**MIRROR, **NOTHING, "copied": 3, "compare": None}],
         "answers are not compared: write compare: true for that"),
        ([{**MIRROR, **NOTHING, "skipped": {"upgrade": 2}, "compare": None}],
         "answers are not compared: write compare: true for that"),
    ],
)  # fmt: skip
def test_where_there_is_nothing_to_show_it_says_so(
    mirrors: list[dict[str, Any]],
    last: str,
    asked: object,
    answer: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    answer["mirrors"] = mirrors
    assert shown(capsys)[-1] == last


def test_programs_get_all_of_it(asked: object, answer: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["canary", "diff", "--json", "--socket", "/x"]) == 0
    assert json.loads(capsys.readouterr().out) == answer
