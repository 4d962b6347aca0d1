"""Instructions for trusting the local authority."""

import shlex
from pathlib import Path

from reviver.certificates.trust import instructions


def test_every_system_is_told_what_to_do_with_the_file() -> None:
    path = Path("/state/of ann's/ca.pem")
    ways = instructions(path)
    assert {way.system.split(",")[0] for way in ways} >= {
        "Debian", "Fedora", "Arch", "macOS", "Windows", "Firefox", "curl", "Python", "Node",
    }  # fmt: skip
    for way in ways:
        assert way.commands or way.note
    commands = [line for way in ways for line in way.commands if shlex.quote(str(path)) in line]
    assert len(commands) >= 8
    for line in commands:
        if not line.startswith("export"):
            assert str(path) in shlex.split(line)
