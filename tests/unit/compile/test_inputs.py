from pathlib import Path

import pytest

from reviver.compile import Inputs, gather
from reviver.compile.htpasswd import parse_htpasswd
from reviver.config import Loaded, load_file
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
