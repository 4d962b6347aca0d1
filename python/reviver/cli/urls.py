"""URLs as a person writes them, in the one form in which the cache knows them."""

import ipaddress
import re
from urllib.parse import quote

import click

PORTS = {"http": 80, "https": 443}

_URL = re.compile(r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):)?//(?P<authority>[^/?#]*)(?P<rest>[^#]*)(?:#.*)?")
_AUTHORITY = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]:@]*)(?::(?P<port>[0-9]*))?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_VISIBLE = "".join(map(chr, range(0x21, 0x7F)))


def absolute(text: str) -> str:
    """An absolute URL of http or https; http where none is said. Raises ValueError with a sentence."""
    if any(c.isspace() or not c.isprintable() for c in text):
        raise ValueError(f"{text!r} has a space or a control character in it")
    if text.startswith("/") and not text.startswith("//"):
        raise ValueError(f"{text!r} has no host")
    found = _URL.fullmatch(text if re.match(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?//", text) else f"//{text}")
    if found is None:
        raise ValueError(f"{text!r} is not a URL")
    scheme = (found["scheme"] or "http").lower()
    if scheme not in PORTS:
        raise ValueError(f"{text!r} is neither http nor https")
    where = authority(found["authority"]).removesuffix(f":{PORTS[scheme]}")
    rest = found["rest"] if found["rest"].startswith("/") else f"/{found['rest']}"
    return f"{scheme}://{where}{quote(rest, safe=_VISIBLE)}"


def authority(text: str) -> str:
    """A host, maybe with a port, in lower case. Raises ValueError with a sentence."""
    if "@" in text:
        raise ValueError(f"{text!r} has a user name in it")
    found = _AUTHORITY.fullmatch(text)
    if found is None or not found["host"]:
        raise ValueError(f"{text!r} is not a host" if text else "there is no host")
    port = found["port"]
    if port and not 1 <= int(port[:6]) <= 65535:
        raise ValueError(f"there is no port {port}")
    return _host(found["host"]) + (f":{int(port)}" if port else "")


def split(url: str) -> tuple[str, str, str]:
    """Scheme, authority and the rest of a URL that `absolute` has made."""
    scheme, _, after = url.partition("://")
    where, slash, rest = after.partition("/")
    return scheme, where, slash + rest


def _host(host: str) -> str:
    if host.startswith("["):
        try:
            return f"[{ipaddress.IPv6Address(host[1:-1])}]"
        except ValueError:
            raise ValueError(f"{host!r} is not an IPv6 address") from None
    name = host
    if not host.isascii():
        try:
            name = host.encode("idna").decode()
        except UnicodeError:
            raise ValueError(f"{host!r} is not a host") from None
    name = name.lower()
    if len(name) > 253 or not all(map(_LABEL.fullmatch, name.removesuffix(".").split("."))):
        raise ValueError(f"{host!r} is not a host")
    return name


def url_argument(_: click.Context, __: click.Parameter, value: str) -> str:
    """Checks an option or an argument."""
    try:
        return absolute(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
