"""A clock, an authority and a proxy that a test holds in its hands."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from reviver.certificates.issuing import IssueError, Renewal, StoppedError
from reviver.certificates.keeper import Keeper, World
from reviver.certificates.proofs import Proofs
from reviver.certificates.storage import Storage
from reviver.certificates.wants import Want

START = datetime(2026, 5, 1, 12, tzinfo=UTC)


def issued(*names: str, begin: datetime = START, life: timedelta = timedelta(days=90)) -> str:
    """Key and certificate, as an issuer gives them."""
    key = ec.generate_private_key(ec.SECP256R1())
    authority = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Fake Authority")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(authority)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + life)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=True)
        .sign(ec.generate_private_key(ec.SECP256R1()), SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return (private + certificate.public_bytes(Encoding.PEM)).decode()


class FakeIssuer:
    """Issues at once, or does what the test put into `next`."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self.orders: list[tuple[tuple[str, ...], int]] = []
        #: Errors of the next orders; None lets one succeed.
        self.next: list[Exception | None] = []
        self.proofs = Proofs((("token", "authorization"),))
        self.life = timedelta(days=90)
        #: What the authority suggests about renewals, and when it was asked.
        self.suggestion: datetime | None = None
        self.unavailable: IssueError | None = None
        self.asked: list[datetime] = []
        #: Called while an order is under way.
        self.during: Callable[[], None] = lambda: None

    def issue(self, want: Want, attempt: int, present: Callable[[Proofs], None], pause: Callable[[float], None]) -> str:
        self.orders.append((want.names, attempt))
        present(self.proofs)
        self.during()
        error = self.next.pop(0) if self.next else None
        if error is not None:
            raise error
        return issued(*want.names, begin=self._now(), life=self.life)

    def renewal(self, want: Want, chain: str) -> Renewal:
        self.asked.append(self._now())
        if self.unavailable is not None:
            raise self.unavailable
        return Renewal(self.suggestion, self._now() + timedelta(hours=6))


class Shop:
    """A keeper's world: time passes when `run` says so."""

    def __init__(self, folder: Path, *names: str, **more: Any) -> None:
        self.time = START
        self.said: list[str] = []
        #: What was served after each change: fingerprints, and whether something is being proved.
        self.served: list[tuple[list[str], bool]] = []
        self.refuse: Exception | None = None
        self.issuer = FakeIssuer(lambda: self.time)
        self.want = Want(names or ("a.example",), "https://ca.example/dir", Storage(folder), **more)
        self.paused: list[float] = []
        self.give_up = False
        self.keeper = self.restarted()

    def restarted(self) -> Keeper:
        """A new proxy with the same storage, at the same time."""
        world = World(
            self.issuer,
            self.said.append,
            self._changed,
            now=lambda: self.time,
            uniform=lambda _, most: most,
        )
        self.keeper = Keeper(self.want, world, self._pause)
        return self.keeper

    def _changed(self) -> None:
        if self.refuse is not None:
            raise self.refuse
        self.served.append(([pair.facts.fingerprint for pair in self.keeper.pairs], bool(self.keeper.proofs)))

    def _pause(self, seconds: float) -> None:
        self.paused.append(seconds)
        self.time += timedelta(seconds=seconds)
        if self.give_up:
            raise StoppedError

    def run(self, duration: timedelta) -> None:
        """Lets time pass; the keeper does what is due in it."""
        end = self.time + duration
        while True:
            wait = self.keeper.step()
            if self.time + timedelta(seconds=wait) > end:
                break
            # a keeper that asks to come back at once has to have something to do then
            self.time += timedelta(seconds=max(wait, 0.001))
        self.time = end

    @property
    def fingerprint(self) -> str:
        assert self.keeper.pair is not None
        return self.keeper.pair.facts.fingerprint
