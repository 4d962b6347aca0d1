"""Certificates and contexts for tests: an authority of its own for each run, leaves as files."""

import contextlib
import functools
import hashlib
import ssl
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from tests.support.client import Client
from tests.support.stream import PATIENCE

ECDSA, RSA = trustme.KeyType.ECDSA, trustme.KeyType.RSA
Config = dict[str, Any]


@dataclass(frozen=True)
class Leaf:
    """A certificate with its chain, leaf first, and its key, as PEM files."""

    certificate: Path
    key: Path

    @property
    def der(self) -> bytes:
        return ssl.PEM_cert_to_DER_cert(self.certificate.read_text().partition("-----END")[0] + FOOTER)

    @property
    def fingerprint(self) -> str:
        """SHA-256, lower-case hexadecimal."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def config(self) -> Config:
        """An entry of a listener's `certificates`."""
        return {"certificate": str(self.certificate), "key": str(self.key)}


FOOTER = "-----END CERTIFICATE-----\n"


class Authority:
    """Issues leaves into a folder."""

    def __init__(self, folder: Path, name: str = "Test Authority", parent: trustme.CA | None = None) -> None:
        self.folder = folder
        self.ca = parent or trustme.CA(organization_name=name)
        #: Its own certificate, PEM.
        self.file = folder / f"{name.replace(' ', '-').lower()}.pem"
        self.file.write_bytes(self.ca.cert_pem.bytes())
        self._count = 0

    def leaf(
        self,
        *names: str,
        kind: trustme.KeyType = ECDSA,
        key_format: PrivateFormat = PrivateFormat.PKCS8,
        expired: bool = False,
        common_name: str | None = None,
        organization: str = "Reviver Tests",
        unit: str = "Leaves",
    ) -> Leaf:
        """A certificate that holds the names, for servers and clients."""
        began = datetime(2000, 1, 1)
        issued = self.ca.issue_cert(
            *names,
            common_name=common_name,
            organization_name=organization,
            organization_unit_name=unit,
            key_type=kind,
            not_before=began if expired else None,
            not_after=began + timedelta(days=90) if expired else None,
        )
        key = load_pem_private_key(issued.private_key_pem.bytes(), None)
        self._count += 1
        leaf = Leaf(self.folder / f"leaf-{self._count}.pem", self.folder / f"leaf-{self._count}.key")
        leaf.certificate.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
        leaf.key.write_bytes(key.private_bytes(Encoding.PEM, key_format, NoEncryption()))
        return leaf


_folders: list["tempfile.TemporaryDirectory[str]"] = []


def new_authority(name: str) -> Authority:
    """An authority in a folder that goes with the process."""
    _folders.append(tempfile.TemporaryDirectory(prefix="rv-ca-"))
    folder = Path(_folders[-1].name)
    folder.chmod(0o755)
    return Authority(folder, name)


@functools.cache
def authority() -> Authority:
    """The one that tests trust."""
    return new_authority("Test Authority")


@functools.cache
def stranger() -> Authority:
    """One that nobody trusts."""
    return new_authority("Strange Authority")


@functools.cache
def site() -> Leaf:
    """What most tests show: `test.example`, its subdomains, `localhost` and loopback."""
    return authority().leaf("test.example", "*.test.example", "localhost", "127.0.0.1", "::1")


@functools.cache
def alice() -> Leaf:
    """A client's certificate whose subject is CN=alice,OU=Leaves,O=Reviver Tests."""
    return authority().leaf("alice@test.example", common_name="alice")


@functools.cache
def mallory() -> Leaf:
    """A client's certificate that calls itself alice too, of another authority."""
    return stranger().leaf("alice@test.example", common_name="alice")


def client_context(
    *,
    alpn: Sequence[str] = (),
    certificate: Leaf | None = None,
    verify: bool = True,
    versions: tuple[ssl.TLSVersion, ssl.TLSVersion] = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3),
    ciphers: str | None = None,
) -> ssl.SSLContext:
    """What a client of the proxy uses; it trusts the tests' authority and no other."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(authority().file)
    context.check_hostname = verify
    context.verify_mode = ssl.CERT_REQUIRED if verify else ssl.CERT_NONE
    if ciphers:
        context.set_ciphers(ciphers)
    context.minimum_version, context.maximum_version = versions
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if certificate:
        context.load_cert_chain(certificate.certificate, certificate.key)
    return context


ONLY_12 = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)
ONLY_13 = (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3)


class TlsClient(Client):
    """A connection over TLS, HTTP/1.1 unless ALPN says otherwise. `sni=None` names nobody."""

    sock: ssl.SSLSocket

    def __init__(
        self,
        port: int,
        *,
        sni: str | None = "test.example",
        context: ssl.SSLContext | None = None,
        session: ssl.SSLSession | None = None,
        before: bytes = b"",
        source: str | None = None,
        timeout: float = PATIENCE,
    ) -> None:
        super().__init__(port, source=source, timeout=timeout)
        if before:
            self.send(before)
        context = context or client_context()
        if sni is None:
            context.check_hostname = False
        plain = self.sock
        try:
            # an end without close_notify is an error here: what broke off has to be told from what ended
            self.sock = context.wrap_socket(plain, server_hostname=sni, session=session, suppress_ragged_eofs=False)
        except BaseException:
            plain.close()
            raise

    @property
    def peer(self) -> bytes:
        """The leaf that was shown, DER."""
        return self.sock.getpeercert(binary_form=True) or b""

    @property
    def alpn(self) -> str | None:
        return self.sock.selected_alpn_protocol()


class ServerTls:
    """TLS of an origin: what it shows, what it asks for, and what clients told it."""

    def __init__(
        self,
        leaf: Leaf | None = None,
        *,
        client_ca: Path | None = None,
        alpn: Sequence[str] = (),
        versions: tuple[ssl.TLSVersion, ssl.TLSVersion] = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3),
    ) -> None:
        leaf = leaf or site()
        #: Server names that were asked for, one for each handshake that got so far.
        self.names: list[str | None] = []
        #: ALPN that was agreed on, whether a session was resumed, and the client's leaf: one for each handshake.
        self.agreed: list[str | None] = []
        self.resumed: list[bool] = []
        self.peers: list[bytes | None] = []
        #: Handshakes that failed, as OpenSSL tells it.
        self.failures: list[str] = []
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(leaf.certificate, leaf.key)
        self.context.minimum_version, self.context.maximum_version = versions
        self.context.sni_callback = self._named
        if alpn:
            self.context.set_alpn_protocols(list(alpn))
        if client_ca:
            self.context.load_verify_locations(client_ca)
            self.context.verify_mode = ssl.CERT_REQUIRED

    def _named(self, sock: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        self.names.append(name)

    def wrap(self, sock: Any) -> ssl.SSLSocket:
        """The handshake. Raises what OpenSSL does, which is noted."""
        try:
            wrapped = self.context.wrap_socket(sock, server_side=True, suppress_ragged_eofs=False)
        except OSError as error:
            self.failures.append(str(error))
            raise
        self.agreed.append(wrapped.selected_alpn_protocol())
        self.resumed.append(bool(wrapped.session_reused))
        self.peers.append(wrapped.getpeercert(binary_form=True))
        return wrapped


def tls_listener(*leaves: Leaf, tls: Config | None = None, **listener: Any) -> Config:
    """Keys of a listener that speaks TLS with these leaves, `site()` without any."""
    return {"tls": {"certificates": [leaf.config for leaf in leaves or (site(),)], **(tls or {})}, **listener}


class BareTls:
    """The client's side of TLS without a socket: a test carries the records itself."""

    def __init__(self, context: ssl.SSLContext | None = None, sni: str = "test.example") -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = context or client_context()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=sni)

    def hello(self) -> bytes:
        """The first flight."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        return self.outgoing.read()

    def handshake(self, stream: Client, *, piece: int = 1 << 20) -> None:
        """The whole handshake; each flight is sent in pieces."""
        while True:
            try:
                self.tls.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                done = False
            flight = self.outgoing.read()
            for start in range(0, len(flight), piece):
                stream.send(flight[start : start + piece])
            if done:
                return
            self.incoming.write(stream.read_some())

    def seal(self, data: bytes) -> bytes:
        """The records that carry some bytes."""
        self.tls.write(data)
        return self.outgoing.read()

    def read(self, stream: Client) -> bytes:
        """The next bytes that the peer says; empty at its close_notify."""
        while True:
            try:
                return self.tls.read(65_536)
            except ssl.SSLWantReadError:
                self.incoming.write(stream.read_some())
            except ssl.SSLZeroReturnError:
                return b""

    def goodbye(self) -> bytes:
        """The record of a close_notify."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        return self.outgoing.read()
