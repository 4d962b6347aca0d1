"""Conditions of a request: of routes, and of what is cached."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from reviver.config.models.base import Listed, Section, Switch
from reviver.config.models.text import FieldName, HostPattern, Method, PathMatch, Pattern, Text, Token
from reviver.config.values import Kind, Network, refuse, shown

__all__ = ["ClientCertificate", "Match"]


def _fingerprint(value: str) -> str:
    digits = value.replace(":", "").lower()
    if not re.fullmatch(r"[0-9a-f]{64}", digits):
        refuse(
            f"{shown(value)} is not a SHA-256 fingerprint",
            "64 hexadecimal digits: openssl x509 -noout -fingerprint -sha256 -in FILE",
        )
    return digits


class ClientCertificate(Section):
    """What the client's certificate must be. `true` in place of the table is any that was verified."""

    subject: Annotated[tuple[Pattern, ...], Listed()] = Field(
        default=(),
        description="The subject as RFC 4514 writes it: exact, a prefix when it ends in `*`, a regular expression "
        "when it starts with `~`.",
        examples=["CN=alice,O=Example", "~(^|,)OU=ops(,|$)"],
    )
    fingerprint: Annotated[tuple[Annotated[Text, AfterValidator(_fingerprint), Kind("fingerprint")], ...], Listed()] = (
        Field(
            default=(),
            description="SHA-256 of the certificate in hexadecimal digits, with or without colons.",
        )
    )


class Match(Section):
    """Conditions of a route. All that are given must hold; of a list, any value may."""

    host: Annotated[tuple[HostPattern, ...], Listed()] = Field(
        default=(),
        description="Host without port: exact, or `*.example.com` for all names below it.",
        examples=["shop.example.com", ["api.example.com", "*.api.example.com"]],
    )
    path: Annotated[tuple[PathMatch, ...], Listed()] = Field(
        default=(),
        description="Path: exact, a prefix when it ends in `*`, a regular expression when it starts with `~`.",
        examples=["/v1/*", "~^/users/[0-9]+$"],
    )
    method: Annotated[tuple[Method, ...], Listed()] = Field(default=(), description="Request method.", examples=["GET"])
    header: dict[FieldName, Pattern] = Field(
        default={},
        description="Header fields, each with what one of its values must be: exact, `*` for any, a prefix when it "
        "ends in `*`, a regular expression when it starts with `~`.",
        examples=[{"x-beta": "1"}],
    )
    query: dict[Text, Pattern] = Field(
        default={}, description="Query parameters, with values as for `header`.", examples=[{"v": "2"}]
    )
    cookie: dict[Token, Pattern] = Field(default={}, description="Cookies, with values as for `header`.")
    client: Annotated[tuple[Network, ...], Listed()] = Field(
        default=(), description="Networks of clients.", examples=[["10.0.0.0/8"]]
    )
    client_certificate: Annotated[ClientCertificate, Switch()] | None = Field(
        default=None,
        description="Whether the client showed a certificate that a listener's `tls.client_ca` vouches for, and which.",
        examples=[True, {"subject": "CN=alice,O=Example"}],
    )
