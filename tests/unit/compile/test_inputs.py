import os
from pathlib import Path

import pytest

from reviver.compile import Inputs, gather
from reviver.compile.htpasswd import parse_htpasswd
from reviver.config import Loaded, load_file
from reviver.control import privileges
from reviver.errors import ConfigurationError

BCRYPT = "$2y$05$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC"


def loaded(folder: Path, users: str) -> Loaded:
    path = folder / "r.yaml"
    path.write_text(
        "listeners: {office: {bind: '127.0.0.1:3128', role: forward}}\n"
        f"forward:\n  auth:\n    basic: {users}\n"
    )  # fmt: skip
    return load_file(path, {})


def refused(configuration: Loaded) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        gather(configuration)
    return [str(diagnostic) for diagnostic in caught.value.diagnostics]


def test_a_password_file_is_read_beside_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "users").write_text(f"ann:{BCRYPT}\r\n# a comment\n\nbob:{BCRYPT}\n")
    configuration = loaded(tmp_path, "users")
    monkeypatch.chdir("/")
    inputs = gather(configuration)
    assert inputs.users == {"ann": BCRYPT, "bob": BCRYPT}
    assert inputs.files == (tmp_path / "users",)
    assert inputs.cpus >= 1
    assert BCRYPT not in repr(inputs), "hashes are not shown in passing"


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"# none\n"], ids=["missing", "not text", "empty"])
def test_an_unusable_password_file_is_an_error_where_it_is_named(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "users").write_bytes(content)
    (line,) = refused(loaded(tmp_path, "users"))
    assert line.startswith(f"{tmp_path / 'r.yaml'}:4:12: forward.auth.basic: {tmp_path / 'users'} ")


def test_a_folder_is_no_password_file(tmp_path: Path) -> None:
    (line,) = refused(loaded(tmp_path, "."))
    assert line.endswith("cannot be read: Is a directory")


def test_a_configuration_without_files_needs_none(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("listeners: {web: {bind: ':8080', role: reverse}}\nreverse: {routes: [{respond: {}}]}\n")
    inputs = gather(load_file(path, {}))
    assert (inputs.users, inputs.files) == ({}, ())
    assert isinstance(inputs, Inputs)


def cached(folder: Path, disk: str) -> Loaded:
    path = folder / "r.yaml"
    path.write_text(
        "listeners: {web: {bind: ':8080', role: reverse}}\n"
        f"cache:\n  disk:\n    path: {disk}\n    size: 1GiB\n"
        "reverse: {routes: [{pool: a, cache: true}], pools: {a: {servers: ['127.0.0.1:1']}}}\n"
    )
    return load_file(path, {})


@pytest.mark.parametrize("disk", ["there", "new", "new/below"])
def test_the_folder_of_the_cache_need_not_be_there(tmp_path: Path, disk: str) -> None:
    (tmp_path / "there").mkdir()
    gather(cached(tmp_path, disk))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("disk", "sentence"),
    [
        ("file", "is not a folder"),
        ("file/below", "cannot be a folder: what is above it is none"),
        ("loop", "cannot be looked at: Too many levels of symbolic links"),
        ("a" * 300, "cannot be looked at: File name too long"),
    ],
)
def test_a_cache_that_cannot_be_on_disk_is_an_error_where_it_is_named(tmp_path: Path, disk: str, sentence: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    (line,) = refused(cached(tmp_path, disk))
    assert line == f"{tmp_path / 'r.yaml'}:4:11: cache.disk.path: {tmp_path / disk} {sentence}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_folder_that_may_not_be_looked_at_is_an_error_too(tmp_path: Path) -> None:
    configuration = cached(tmp_path, "closed/store")
    (tmp_path / "closed").mkdir(mode=0o700)
    with privileges.acting_as(privileges.identity("nobody", None)):
        (line,) = refused(configuration)
    assert line.endswith("closed/store cannot be looked at: Permission denied")


@pytest.mark.parametrize(
    "hashed",
    [
        BCRYPT,
        BCRYPT.replace("$2y", "$2b"),
        "$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/",
        "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=",
        "$5$rounds=5000$saltstring$" + "a" * 43,
        "$6$saltstring$" + "b" * 86,
    ],
)
def test_known_hashes(hashed: str) -> None:
    assert parse_htpasswd(f"ann:{hashed}\n", "users") == ({"ann": hashed}, [])


@pytest.mark.parametrize(
    "line",
    [
        "ann",
        ":x",
        "ann:",
        "ann:secret",
        "ann:$2y$05$short",
        "ann:$2y$99$" + "x" * 53,
        f"ann:{BCRYPT}:extra",
        "ann:{SSHA}eA==",
    ],
)
def test_a_malformed_line_is_named_by_its_number_and_not_shown(line: str) -> None:
    users, diagnostics = parse_htpasswd(f"# head\n{line}\n", "users")
    assert users == {}
    (text,) = map(str, diagnostics)
    assert text.startswith("users:2: ")
    assert "secret" not in text


def canary(folder: Path, gate: str) -> Loaded:
    path = folder / "r.yaml"
    path.write_text(
        "listeners: {web: {bind: '127.0.0.1:1', role: reverse}}\n"
        "reverse:\n  routes: [{split: s}]\n  pools: {a: {servers: ['a:1']}, b: {servers: ['b:1']}}\n"
        f"  splits: {{s: {{stable: a, canary: b, autopilot: {{gates: {{after: {gate!r}}}}}}}}}\n"
    )
    return load_file(path, {})


def test_a_file_with_gates_is_watched_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gates.py").write_text("def smoke(facts): ...\nraise SystemExit('it was run')\n")
    configuration = canary(tmp_path, "gates.py:smoke")
    monkeypatch.chdir("/")
    assert gather(configuration).files == (tmp_path / "gates.py",)


@pytest.mark.parametrize(
    "source",
    [b"x = 1\0", b"\xff\xfe", b"(" * 5000 + b")" * 5000, b"x = " + b"-" * 100_000 + b"1"],
    ids=["nul", "no text", "brackets", "signs"],
)
def test_what_is_no_python_is_refused_on_one_line(tmp_path: Path, source: bytes) -> None:
    (tmp_path / "gates.py").write_bytes(source)
    (refusal,) = refused(canary(tmp_path, "gates.py:smoke"))
    assert f"{tmp_path / 'gates.py'} is not Python: " in refusal
    assert len(refusal.splitlines()) == 1


def test_a_function_is_found_wherever_a_module_binds_it(tmp_path: Path) -> None:
    for source in (
        "if True:\n    async def smoke(facts): ...\n",
        "from shop import *\n",
        "import shop.checks as smoke\n",
        "with open('x') as smoke: pass\n",
        "class smoke: ...\n",
        "other, smoke = 1, print\n",
    ):
        (tmp_path / "gates.py").write_text(source)
        assert gather(canary(tmp_path, "gates.py:smoke")).files


def test_what_is_bound_elsewhere_is_no_function_of_the_module(tmp_path: Path) -> None:
    for source in (
        "def a():\n    def smoke(): ...\n",
        "class A:\n    def smoke(): ...\n",
        "a = lambda: (smoke := 1)\n",
        "smoke\n",
        "import a.smoke\n",
    ):
        (tmp_path / "gates.py").write_text(source)
        (refusal,) = refused(canary(tmp_path, "gates.py:smoke"))
        assert " has no smoke" in refusal
