"""Texts with the grammar of HTTP: field names and values, hosts, paths, patterns.

Grammar from RFC 9110, section 5.6.2 (token) and 5.5 (field-value).
"""

import ipaddress
import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator
from pydantic_core import SchemaError, SchemaValidator, core_schema

from reviver.config.values import Address, Kind, is_ipv4, is_ipv6, is_name, refuse, shown

__all__ = [
    "CookieName", "FieldName", "FieldValue", "HostField", "HostPattern", "KeyFieldName", "Method", "Name",
    "PathMatch", "PathText", "Pattern", "Regex", "ResponseRuleName", "RuleName", "Text", "Token", "Url", "is_token",
    "is_url",
]  # fmt: skip

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

# RFC 9110, section 7.6.1 and 6.6.2: fields for one connection, and those that frame the message
_FRAMING = frozenset(
    ["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "content-length"]
)


def is_token(text: str) -> bool:
    """Whether `text` is a token of RFC 9110, section 5.6.2."""
    return bool(_TOKEN.match(text))


def _text(value: object) -> object:
    if not isinstance(value, str):
        hint = f'write "{value}" in quotes' if isinstance(value, (int, float)) else None
        refuse(f"{shown(value)} is not text" if hint else "must be text", hint)
    return value


Text = Annotated[str, BeforeValidator(_text, json_schema_input_type=str)]
"""Any text."""


def _token(value: str) -> str:
    if not is_token(value):
        refuse(f"{shown(value)} is not a name", "use letters, digits and !#$%&'*+-.^_`|~")
    return value


Token = Annotated[Text, AfterValidator(_token), Kind("name")]
"""A token of HTTP."""


def _name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,62}[A-Za-z0-9_])?", value):
        refuse(f"{shown(value)} is not a usable name", "up to 64 letters, digits, hyphens, dots and underscores")
    return value


Name = Annotated[Text, AfterValidator(_name), Kind("name")]
"""What a listener, route, pool, split or limit is called in logs, metrics and commands."""


def _cookie_name(value: str) -> str:
    if not is_token(value):
        refuse(f"{shown(value)} is not a cookie name", "use letters, digits and !#$%&'*+-.^_`|~ (RFC 6265)")
    return value


CookieName = Annotated[Text, AfterValidator(_cookie_name), Kind("cookie name")]
"""The name of a cookie that the proxy sets (RFC 6265, section 4.1.1)."""


def _field_name(value: str) -> str:
    if not is_token(value):
        refuse(f"{shown(value)} is not a field name", "use letters, digits and hyphens, no colon and no space")
    return value


def _rule_name(value: str) -> str:
    name = _field_name(value).lower()
    if name in _FRAMING:
        refuse(
            f"{shown(value)} belongs to one connection or frames the message, so no rule can set or remove it",
            "the proxy writes it itself",
        )
    return value


def _request_rule_name(value: str) -> str:
    if _rule_name(value).lower() == "host":
        refuse("the host field is not changed by a header rule", "use rewrite: {host: NAME}")
    return value


def _key_field_name(value: str) -> str:
    if _field_name(value).lower() in _FRAMING:
        refuse(f"{shown(value)} belongs to one connection or frames the message, so no response depends on it")
    return value


FieldName = Annotated[Text, AfterValidator(_field_name), Kind("field name")]
"""The name of a header field."""
KeyFieldName = Annotated[Text, AfterValidator(_key_field_name), Kind("field name")]
"""The name of a request field by which stored responses may be told apart."""
RuleName = Annotated[Text, AfterValidator(_request_rule_name), Kind("field name")]
"""The name of a request field that a rule may change."""
ResponseRuleName = Annotated[Text, AfterValidator(_rule_name), Kind("field name")]
"""The name of a response field that a rule may change."""


def _field_value(value: str) -> str:
    if _CONTROL.search(value):
        refuse(f"{shown(value)} holds a control character", "a field value is one line")
    if value != value.strip(" \t"):
        refuse(f"{shown(value)} starts or ends with a space", "take the space away")
    return value


FieldValue = Annotated[Text, AfterValidator(_field_value), Kind("field value")]
"""The value of a header field: one line."""


def _method(value: str) -> str:
    if not is_token(value):
        refuse(f"{shown(value)} is not a method", "write GET, POST, ...")
    if value != value.upper() and value.upper() in _METHODS:
        refuse(f"methods are written as on the wire, and {shown(value)} is not one", f"did you mean {value.upper()}?")
    return value


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})

Method = Annotated[Text, AfterValidator(_method), Kind("method")]
"""A request method, as on the wire."""


def _host_pattern(value: str) -> str:
    host = value.lower().removesuffix(".")
    name = host.removeprefix("*.")
    if host.startswith("[") and host.endswith("]") and is_ipv6(host[1:-1]):
        return f"[{ipaddress.IPv6Address(host[1:-1])}]"
    if "*" in name:
        refuse(f"{shown(value)} has a star in the middle", "a star stands alone as the first label: *.example.com")
    if ":" in name:
        refuse(f"{shown(value)} holds a port", "hosts match without the port")
    if not value.isascii():
        refuse(f"{shown(value)} is not ASCII", "write the name as it is in DNS (xn--...)")
    if not is_name(name) and not (host == name and is_ipv4(name)):
        refuse(f"{shown(value)} is not a host", "write www.example.com or *.example.com")
    return host


HostPattern = Annotated[Text, AfterValidator(_host_pattern), Kind("host")]
"""A host name, or `*.` and the end of one."""


def _host_field(value: str) -> str:
    if is_name(value) or is_ipv4(value):
        return value
    return str(Address.read(value))


HostField = Annotated[Text, AfterValidator(_host_field)]
"""What stands in the field `Host`: a host, with or without a port."""


def _regex(pattern: str) -> str:
    # pydantic checks patterns with the same crate that the engine matches with
    try:
        SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))
    except SchemaError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = next((line.removeprefix("error: ") for line in lines if line.startswith("error: ")), lines[-1])
        reason = reason.removeprefix("SchemaError: ").rstrip(".")
        reason = reason[:1].lower() + reason[1:]
        refuse(f"{shown(pattern)} is not a usable regular expression: {reason}", "the syntax is that of Rust's regex")
    return pattern


Regex = Annotated[Text, AfterValidator(_regex), Kind("regular expression")]
"""A regular expression as the engine takes it: Rust's regex syntax, without look-around and back-references."""


def _path_match(value: str) -> str:
    if value.startswith("~"):
        _regex(value[1:])
    elif not value.startswith("/") and value != "*":
        refuse(
            f"{shown(value)} is not a path",
            f"did you mean /{value}?" if re.match(r"[A-Za-z0-9]", value) else "start it with / (or ~ for a pattern)",
        )
    elif "*" in value[:-1]:
        refuse(f"{shown(value)} has a star in the middle", "a star ends the path, or use a pattern: ~^/a/[^/]+/b$")
    elif "?" in value or "#" in value:
        refuse(f"{shown(value)} holds more than a path", "match the query with query: {name: value}")
    return value


PathMatch = Annotated[Text, AfterValidator(_path_match), Kind("path")]
"""A path: exact, a prefix when it ends in `*`, a regular expression when it starts with `~`."""


def _pattern(value: str) -> str:
    if value.startswith("~"):
        _regex(value[1:])
    return value


Pattern = Annotated[Text, AfterValidator(_pattern), Kind("pattern")]
"""A value: exact, `*` for any, a prefix when it ends in `*`, a regular expression when it starts with `~`."""


def _path(value: str) -> str:
    if not value.startswith("/"):
        refuse(f"{shown(value)} is not the beginning of a path", f"did you mean /{value}?")
    if re.search(r"[^\x21-\x7e]|[?#]", value):
        refuse(f"{shown(value)} holds characters that a path cannot", "percent-encode them")
    return value


PathText = Annotated[Text, AfterValidator(_path), Kind("path")]
"""The beginning of a path."""


def is_url(text: str) -> bool:
    """Whether `text` is a URL of http or https."""
    try:
        url = urlsplit(text)
        host, _ = url.hostname, url.port
    except ValueError:
        return False
    return url.scheme in ("http", "https") and bool(host) and not re.search(r"[^\x21-\x7e]", text)


def _url(value: str) -> str:
    if not is_url(value):
        refuse(f"{shown(value)} is not a URL", "write https://HOST/PATH")
    return value


Url = Annotated[Text, AfterValidator(_url), Kind("URL")]
"""A URL of http or https."""
