"""TLS on both sides: certificates, who is asked for one, and where they come from."""

import ipaddress
import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

from reviver.config.models.base import Listed, Said, Section, Switch, within
from reviver.config.models.text import Text
from reviver.config.values import Duration, Flag, Kind, is_ipv4, is_ipv6, is_name, refuse, shown

__all__ = [
    "Automatic",
    "CertificateFiles",
    "ExternalAccount",
    "Hsts",
    "ListenerTls",
    "UpstreamTls",
    "hsts_as_written",
    "tls_as_written",
]


def _file(value: str) -> str:
    if "-----BEGIN" in value:
        refuse("is PEM text, where the name of a file is needed", "write the text to a file, and name that")
    return value


File = Annotated[Text, Field(min_length=1), AfterValidator(_file), Kind("file")]
"""A file's path, relative to the configuration."""


def _version(value: object) -> object:
    # YAML reads 1.2 without quotes as a number
    text = str(value)
    if text not in ("1.2", "1.3"):
        refuse(
            f"{shown(value)} is not one of 1.2, 1.3", "only 1.2 and 1.3 are served: older versions of TLS are not safe"
        )
    return text


TlsVersion = Annotated[
    Literal["1.2", "1.3"], BeforeValidator(_version, json_schema_input_type=Literal["1.2", "1.3"] | float)
]
"""A version of TLS that is still safe."""


class CertificateFiles(Section):
    """A certificate and its key, as PEM files."""

    certificate: File = Field(
        description="The chain: the certificate itself first, then those of its issuers. Relative to the "
        "configuration.",
        examples=["site.pem"],
    )
    key: Annotated[File | None, Said("in the file of the certificate")] = Field(
        default=None, description="The private key (PKCS#8, PKCS#1 or SEC1), not encrypted.", examples=["site.key"]
    )


def _tables(value: object) -> object:
    if not isinstance(value, (dict, list, tuple)):
        refuse(f"is {shown(value)}, where a list of tables is needed", "write [{certificate: FILE, key: FILE}]")
    return value


def _email(value: str) -> str:
    name, at, domain = value.rpartition("@")
    if not at or not re.fullmatch(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}", name) or not is_name(domain):
        refuse(f"{shown(value)} is not an e-mail address", "write ops@example.com")
    return value


def _directory(value: str) -> str:
    try:
        url = urlsplit(value)
        host, _ = url.hostname or "", url.port
    except ValueError:
        host, url = "", urlsplit("")
    if url.scheme not in ("http", "https") or not host or re.search(r"[^\x21-\x7e]", value):
        refuse(f"{shown(value)} is not the URL of an ACME directory", "write https://HOST/PATH")
    loopback = host == "localhost" or ((is_ipv4(host) or is_ipv6(host)) and ipaddress.ip_address(host).is_loopback)
    if url.scheme == "http" and not loopback:
        refuse(f"{shown(value)} is not protected by TLS", "write https; http is for loopback only")
    return value


def _domain(value: str) -> str:
    name = value.lower().removesuffix(".")
    if name.startswith("*."):
        refuse(
            f"{shown(value)} is a wildcard, which neither http-01 nor tls-alpn-01 can prove",
            "name each host, or give a wildcard certificate under certificates",
        )
    if not value.isascii():
        refuse(f"{shown(value)} is not ASCII", "write the name as it is in DNS (xn--...)")
    if not is_name(name):
        refuse(f"{shown(value)} is not a host name", "write www.example.com")
    return name


def _base64url(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]+={0,2}", value):
        refuse("is not base64url text", "write the MAC key as the certificate authority gave it")
    return value


class ExternalAccount(Section):
    """The binding to an account that a certificate authority knows already (RFC 8555, section 7.3.4)."""

    id: Text = Field(min_length=1, description="The key identifier that the authority gave.")
    key: Annotated[Text, AfterValidator(_base64url)] = Field(
        description="The MAC key that it gave, as base64url text.", examples=["${ACME_MAC_KEY}"]
    )


class Automatic(Section):
    """Certificates obtained and renewed by ACME (RFC 8555). `true` in place of the table takes every default."""

    email: Annotated[Annotated[Text, AfterValidator(_email)] | None, Said("none is told")] = Field(
        default=None, description="Where the authority can reach you.", examples=["ops@example.com"]
    )
    directory: Annotated[Text, AfterValidator(_directory), Kind("URL")] = Field(
        default="https://acme-v02.api.letsencrypt.org/directory",
        description="The ACME directory of the authority; `http` only on loopback.",
        examples=["https://acme-staging-v02.api.letsencrypt.org/directory"],
    )
    domains: Annotated[
        tuple[Annotated[Text, AfterValidator(_domain), Kind("host")], ...],
        Listed(),
        Field(min_length=1),
        Said("every host of the routes that is not a wildcard"),
    ] = Field(
        default=(),
        description="The names that certificates are obtained for.",
        examples=[["www.example.com", "example.com"]],
    )
    directory_ca: Annotated[File | None, Said("those of the system")] = Field(
        default=None,
        description="PEM file of the authorities that are trusted for the directory itself, for private servers.",
        examples=["company-ca.pem"],
    )
    storage: Annotated[Text | None, Said("a folder `certificates` in the user's state folder")] = Field(
        default=None,
        min_length=1,
        description="Folder for the account's key, the certificates and theirs; only its owner can read them.",
        examples=["/var/lib/reviver/certificates"],
    )
    challenges: Annotated[tuple[Literal["http-01", "tls-alpn-01"], ...], Listed(), Field(min_length=1)] = Field(
        default=("http-01", "tls-alpn-01"),
        description="How control over a name may be proved: `http-01` on port 80, by the reverse listeners without "
        "`tls`; `tls-alpn-01` on port 443, by the listeners with `tls`.",
    )
    key: Literal["ecdsa", "rsa"] = Field(
        default="ecdsa", description="Kind of the certificates' keys: ECDSA on P-256, or RSA of 2048 bits."
    )
    external_account: ExternalAccount | None = Field(
        default=None, description="The binding to an account that the authority knows already, where it asks for one."
    )


def tls_as_written(value: object) -> object:
    """Refuses what is written in place of the table, with the table that is probably meant."""
    if value in (False, "false"):
        refuse("cannot be false", "leave it out")
    if value in (True, "true", "internal"):
        refuse(
            f"is {shown(value)}, where a table of keys is needed",
            "write {internal: true} for a local authority, {automatic: true} for Let's Encrypt, or give certificates",
        )
    if value == "automatic":
        refuse("is 'automatic', where a table of keys is needed", "write {automatic: true}")
    return value


class ListenerTls(Section):
    """TLS towards clients. One of `certificates`, `automatic` and `internal` is needed."""

    certificates: Annotated[tuple[CertificateFiles, ...], Listed(), BeforeValidator(_tables)] = Field(
        default=(),
        description="Certificates, chosen by the name that a client asks for (SNI): exact, then wildcard; the first "
        "is for clients whose name, or lack of one, no other fits. A name may have an RSA and an ECDSA one.",
        examples=[[{"certificate": "site.pem", "key": "site.key"}]],
    )
    automatic: Annotated[Automatic, Switch()] | None = Field(
        default=None,
        description="Certificates obtained and renewed by ACME.",
        examples=[{"email": "ops@example.com"}],
    )
    internal: Flag = Field(
        default=False,
        description="For development: a local authority, made on first use, mints a certificate for each name that "
        "is asked for.",
    )
    min_version: TlsVersion = Field(default="1.2", description="The oldest version of TLS that is spoken.")
    client_ca: File | None = Field(
        default=None,
        description="PEM file of the authorities whose client certificates are accepted; clients are asked for one.",
        examples=["staff-ca.pem"],
    )
    client_certificate: Annotated[Literal["required", "optional"] | None, Said("`required` with `client_ca`")] = Field(
        default=None,
        description="Whether a client without a certificate is turned away. One that no authority vouches for is "
        "refused either way.",
    )


def _server_name(value: str) -> str:
    name = value.lower().removesuffix(".")
    if not (is_name(name) or is_ipv4(name) or is_ipv6(name)):
        refuse(f"{shown(value)} is not a host", "write the name that the certificate holds, without a port")
    return name


class UpstreamTls(Section):
    """TLS towards the servers of a pool. `true` in place of the table takes every default."""

    ca: Annotated[File | None, Said("those of the system")] = Field(
        default=None,
        description="PEM file of the authorities that are trusted; no others are.",
        examples=["internal-ca.pem"],
    )
    server_name: Annotated[
        Annotated[Text, AfterValidator(_server_name), Kind("host")] | None, Said("the host of the server's address")
    ] = Field(
        default=None,
        description="The name that is asked for (SNI) and that the server's certificate must hold.",
        examples=["app.internal"],
    )
    certificate: File | None = Field(
        default=None, description="PEM file of a certificate for servers that ask for one.", examples=["proxy.pem"]
    )
    key: Annotated[File | None, Said("in the file of the certificate")] = Field(
        default=None, description="Its private key, not encrypted.", examples=["proxy.key"]
    )
    insecure: Flag = Field(
        default=False,
        description="The server's certificate is not checked, so that anybody on the way can read and change "
        "everything. Said again at every start.",
    )
    min_version: TlsVersion = Field(default="1.2", description="The oldest version of TLS that is spoken.")


def hsts_as_written(value: object) -> object:
    """Refuses what is no duration and no table."""
    if value in (False, "false"):
        refuse("cannot be false", "leave it out; 0s takes back what browsers were told")
    return value


class Hsts(Section):
    """`Strict-Transport-Security` (RFC 6797). Just the duration may be written in place of the table."""

    max_age: Annotated[Duration, within(Duration(0), Duration.read("3650d"))] = Field(
        description="How long browsers use nothing but https for this host; `0s` takes it back.", examples=["180d"]
    )
    include_subdomains: Flag = Field(default=False, description="Whether it holds for all names below too.")
    preload: Flag = Field(
        default=False,
        description="Whether browsers may ship with it. Their list asks for `include_subdomains` and at least a year.",
    )
