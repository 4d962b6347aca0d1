"""How systems and programs come to trust the local authority."""

import shlex
from pathlib import Path, PureWindowsPath
from typing import NamedTuple


class Instruction(NamedTuple):
    """What to do on one system or for one program."""

    system: str
    commands: tuple[str, ...]
    note: str | None = None


def instructions(path: Path) -> list[Instruction]:
    """For the certificate of the authority at `path`."""
    file = shlex.quote(str(path))
    name = f"{path.stem}.crt" if path.stem != "ca" else "reviver-local-authority.crt"
    windows = PureWindowsPath("C:\\") / "reviver-local-authority.crt"
    return [
        Instruction(
            "Debian, Ubuntu",
            (f"sudo cp {file} /usr/local/share/ca-certificates/{name}", "sudo update-ca-certificates"),
        ),
        Instruction(
            "Fedora, RHEL",
            (f"sudo cp {file} /etc/pki/ca-trust/source/anchors/{name}", "sudo update-ca-trust"),
        ),
        Instruction("Arch", (f"sudo trust anchor --store {file}",)),
        Instruction(
            "macOS",
            (f"sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain {file}",),
        ),
        Instruction("Windows", (f"certutil -addstore -f Root {windows}",), "as administrator, with the file there"),
        Instruction(
            "Firefox",
            (),
            "Settings, Privacy & Security, Certificates, View Certificates, Authorities, Import: this file, "
            "for websites. On Windows and macOS it follows the system.",
        ),
        Instruction(
            "Chrome, Chromium on Linux",
            (f'certutil -d sql:"$HOME/.pki/nssdb" -A -t C,, -n "Reviver local authority" -i {file}',),
            "certutil is in libnss3-tools (Debian) or nss-tools (Fedora)",
        ),
        Instruction("curl", (f"curl --cacert {file} https://...",), "or set CURL_CA_BUNDLE"),
        Instruction(
            "Python",
            (f"export SSL_CERT_FILE={file}", f"export REQUESTS_CA_BUNDLE={file}"),
            "then nothing else is trusted; the second is for requests",
        ),
        Instruction("Node", (f"export NODE_EXTRA_CA_CERTS={file}",)),
    ]
