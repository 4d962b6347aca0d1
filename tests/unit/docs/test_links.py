"""Links between documents lead somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
LINK = re.compile(r"(?<!\\)\]\(([^()\s]+)\)|<(?:img|source)[^>]+(?:src|srcset)=\"([^\"]+)\"")
CODE = re.compile(r"^```.*?^```$|`[^`\n]+`", re.MULTILINE | re.DOTALL)


def _links(document: Path) -> list[str]:
    text = CODE.sub(lambda code: "c" if code[0].count("\n") == 0 else "", document.read_text(encoding="utf-8"))
    return [link[1] or link[2] for link in LINK.finditer(text)]


def _anchors(document: Path) -> set[str]:
    """The anchors of headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+?)\s*$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_there_are_documents_with_links() -> None:
    names = {str(path.relative_to(ROOT)) for path in DOCUMENTS}
    assert names >= {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/architecture.md", "docs/operation.md"}
    assert len(_links(ROOT / "README.md")) >= 8


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_inside_the_repository_lead_somewhere(document: Path) -> None:
    broken = []
    for link in _links(document):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        there = target.is_relative_to(ROOT) and target.exists()
        if not there or (anchor and anchor not in _anchors(target)):
            broken.append(link)
    assert broken == []


FOLDERS = ("crates", "fuzz", "python", "tests")
SOURCES = ("docs/architecture.md", "CONTRIBUTING.md", *(f"docs/decisions/{path.name}" for path in DECISIONS))


@pytest.mark.parametrize("name", SOURCES)
def test_source_files_that_are_named_exist(name: str) -> None:
    files = [str(path.relative_to(ROOT)) for folder in FOLDERS for path in _sources(folder)]
    named = re.findall(r"`([\w/.-]+\.(?:rs|py))`", (ROOT / name).read_text(encoding="utf-8"))
    missing = [path for path in named if not any(f"/{file}".endswith(f"/{path}") for file in files)]
    assert [path for path in missing if "NAME" not in path] == []


def _sources(folder: str) -> list[Path]:
    return [path for path in (ROOT / folder).rglob("*") if path.suffix in (".rs", ".py")]


def test_the_table_of_states_is_that_of_the_flow() -> None:
    source = (ROOT / "crates" / "reviver-flow" / "src" / "flow.rs").read_text(encoding="utf-8")
    enum = re.search(r"^(?:pub\(crate\) )?enum State \{\n(.*?)^\}", source, re.MULTILINE | re.DOTALL)
    assert enum is not None
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text.split("### States of a flow")[1].split("\n\n`ClientGone`")[0]
    assert re.findall(r"^\| (\w+) \|", table, re.MULTILINE)[1:] == re.findall(r"^    (\w+),$", enum[1], re.MULTILINE)


def test_every_guide_can_be_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        document = waiting.pop()
        if document in seen or document.suffix != ".md":
            continue
        seen.add(document)
        links = (link.partition("#")[0] for link in _links(document) if not re.match(r"[a-z]+:", link))
        waiting += [target for link in links if link and (target := (document.parent / link).resolve()).is_file()]
    unreachable = [str(path.relative_to(ROOT)) for path in DOCUMENTS if path not in seen]
    assert unreachable == []
