"""Proofs of control over names, while an authority is about to ask for them, and what goes into the next plan."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reviver.compile.plan import Certificate, Challenges


@dataclass(frozen=True, slots=True)
class Proofs:
    """What answers http-01 (RFC 8555, section 8.3) and tls-alpn-01 (RFC 8737)."""

    http: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Token and key authorization."""
    alpn: "tuple[tuple[str, Certificate], ...]" = field(default=(), repr=False)
    """Name and the certificate that proves it, as the plan has it."""

    def __bool__(self) -> bool:
        return bool(self.http or self.alpn)


@dataclass(frozen=True, slots=True)
class Material:
    """What the control plane adds to what it read for a configuration; the fields are those of `Inputs`."""

    automatic: Mapping[str, tuple[tuple[str, str, str], ...]] = field(default_factory=dict, repr=False)
    internal: Mapping[str, tuple[str, str]] = field(default_factory=dict, repr=False)
    challenges: "Challenges" = field(default_factory=lambda: challenges(()), repr=False)


def challenges(proofs: Iterable[Proofs]) -> "Challenges":
    """The plan's `challenges`: of all that is being proved."""
    every = list(proofs)
    return {
        "http": [item for one in every for item in one.http],
        "alpn": [item for one in every for item in one.alpn],
    }
