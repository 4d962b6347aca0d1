"""Values with a unit or a grammar of their own, as a person writes them.

Each type reads its text once, refuses it with a sentence and a hint, and remembers the result in the
engine's unit: `Duration` is whole milliseconds, `Size` is bytes.
"""

import ipaddress
import re
from typing import Annotated, Any, ClassVar, NamedTuple, NoReturn, Self

from pydantic import BeforeValidator, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import PydanticCustomError, core_schema

__all__ = [
    "Address", "Count", "Duration", "Flag", "Kind", "Network", "Pair", "PortRange", "Quantity", "Size", "Written",
    "is_ipv4", "is_ipv6", "is_name", "refuse", "shown",
]  # fmt: skip


class Kind(NamedTuple):
    """Marks a text of a grammar of its own: what the manual calls it."""

    name: str


def refuse(sentence: str, hint: str | None = None) -> NoReturn:
    """Refuses a value within a validator: a sentence without a full stop, and what to write instead."""
    raise PydanticCustomError("refused", "{sentence}", {"sentence": sentence, "hint": hint})


def shown(value: object) -> str:
    """A value as it is quoted in a sentence: on one line and not longer than a line; PEM text, maybe a key, never."""
    if isinstance(value, str) and "-----BEGIN" in value:
        return "PEM text"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    text = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text[:61])
    return f"'{text[:60]}…'" if len(text) > 60 else f"'{text}'"


class Quantity(int):
    """A whole number of some unit, written as text with that unit."""

    units: ClassVar[dict[str, int]]
    """Name of each unit and how many of the smallest it is, the largest first."""
    pattern: ClassVar[re.Pattern[str]]
    what: ClassVar[str]
    hint: ClassVar[str]
    bare: ClassVar[bool]
    """Whether a number without a unit counts in the smallest one."""
    most: ClassVar[int] = 2**63 - 1

    @classmethod
    def read(cls, value: object) -> Self:
        """Reads what was written; a validation error says what is wrong with it."""
        if isinstance(value, cls):
            return value
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            if not (cls.bare and isinstance(value, int)):
                refuse(f"{shown(value)} has no unit", cls.hint)
            number = value
        elif isinstance(value, str) and cls.bare and value.isascii() and value.isdigit() and len(value) < 20:
            number = int(value)
        elif isinstance(value, str) and len(value) <= 40 and cls.pattern.match(value):
            number = 0
            for amount, unit in re.findall(r"([0-9.]+)\s*([A-Za-z]+)", value):
                number += round(float(amount) * cls.units[unit])
        else:
            refuse(f"{shown(value)} is not a {cls.what}", cls.hint)
        if not 0 <= number <= cls.most:
            refuse(f"{shown(value)} is out of range for a {cls.what}", cls.hint)
        return cls(number)

    def __str__(self) -> str:
        for unit, factor in self.units.items():
            if self >= factor and self % factor == 0:
                return f"{int(self) // factor}{unit}"
        return f"{int(self)}{list(self.units)[-1]}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.read, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        text = {"type": "string", "pattern": cls.pattern.pattern.replace(r"\Z", "$")}
        return {"anyOf": [text, {"type": "integer", "minimum": 0}]} if cls.bare else text


class Duration(Quantity):
    """A span of time in milliseconds, written `250ms`, `5s`, `2m`, `1h`, `7d` or `1m30s`."""

    units: ClassVar[dict[str, int]] = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
    pattern = re.compile(r"^(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h|d))+\Z")
    what = "duration"
    hint = "write a number and a unit: 250ms, 5s, 2m, 1h"
    bare = False
    most = 10 * 365 * 86_400_000

    @property
    def seconds(self) -> int:
        """Whole seconds, at least one where it is not nothing."""
        return -(-self // 1000)


class Size(Quantity):
    """A number of bytes, written `64KiB`, `10MiB`, `1GiB` (or `kB MB GB` for powers of 1000, or plain bytes)."""

    units: ClassVar[dict[str, int]] = {
        "TiB": 2**40, "GiB": 2**30, "MiB": 2**20, "KiB": 2**10,
        "TB": 10**12, "GB": 10**9, "MB": 10**6, "kB": 1000, "B": 1,
    }  # fmt: skip
    pattern = re.compile(r"^[0-9]+(?:\.[0-9]+)?\s?(?:[KMGT]iB|[kMGT]?B)\Z")
    what = "size"
    hint = "write a number and a unit: 64KiB, 10MiB, 1GiB"
    bare = True


def _count(value: object) -> object:
    # a substituted variable is text, and a number is what it stands for
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        refuse(f"{shown(value)} is not a whole number")
    return value


def _flag(value: object) -> object:
    if value in ("true", "false"):
        return value == "true"
    if not isinstance(value, bool):
        refuse(f"{shown(value)} is neither true nor false")
    return value


Count = Annotated[int, BeforeValidator(_count, json_schema_input_type=int)]
"""A whole number."""

Flag = Annotated[bool, BeforeValidator(_flag, json_schema_input_type=bool)]
"""`true` or `false`."""


def _network(value: object) -> str:
    if isinstance(value, str) and "%" not in value:
        try:
            return str(ipaddress.ip_network(value))
        except ValueError:
            pass
        try:
            network = ipaddress.ip_network(value, strict=False)
        except ValueError:
            pass
        else:
            refuse(f"{shown(value)} has bits set behind its prefix", f"did you mean {network}?")
    refuse(f"{shown(value)} is not a network", "write 10.0.0.0/8, 2001:db8::/32 or one address")


Network = Annotated[str, BeforeValidator(_network, json_schema_input_type=str), Kind("network")]
"""An IP network in CIDR form; one address is a network of its own."""


class Pair(tuple[int, int]):
    """Two numbers that are written as one text."""

    __slots__ = ()

    @classmethod
    def read(cls, value: object) -> Self:
        """Reads what was written; a validation error says what is wrong with it."""
        raise NotImplementedError

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.read, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )


class PortRange(Pair):
    """First and last port of a range, written `443` or `"8000-8999"`."""

    __slots__ = ()

    @classmethod
    def read(cls, value: object) -> Self:
        """Reads a port or a range of ports; a validation error says what is wrong with it."""
        if isinstance(value, cls):
            return value
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        found = re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", text) if isinstance(text, str) else None
        if not found:
            refuse(f"{shown(value)} is neither a port nor a range of ports", 'write 443 or "8000-8999"')
        first, last = int(found[1]), int(found[2] or found[1])
        if not 1 <= first <= last <= 65535:
            refuse(f"{shown(value)} is out of range", "ports are 1 to 65535, the lower one first")
        return cls((first, last))

    def __str__(self) -> str:
        return str(self[0]) if self[0] == self[1] else f"{self[0]}-{self[1]}"

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": 65535},
                {"type": "string", "pattern": "^[0-9]{1,5}(-[0-9]{1,5})?$"},
            ]
        }


def is_ipv4(host: str) -> bool:
    """Whether `host` is an IPv4 address."""
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def is_ipv6(host: str) -> bool:
    """Whether `host` is an IPv6 address, without brackets and without a zone."""
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return "%" not in host


_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\Z")


def is_name(host: str) -> bool:
    """Whether `host` is a host name: labels of letters, digits and hyphens, the last one not all digits."""
    labels = host.removesuffix(".").split(".")
    return len(host) <= 253 and all(map(_LABEL.match, labels)) and not labels[-1].isdigit()


class Written(str):
    """A text with a grammar of its own, kept as it is to be shown."""

    __slots__ = ()

    @classmethod
    def read(cls, value: object) -> Self:
        """Reads what was written; a validation error says what is wrong with it."""
        raise NotImplementedError

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(cls.read, serialization=core_schema.to_string_ser_schema())

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "string"}


class Address(Written):
    """`host:port` as text: the host is a name in lower case, an IPv4 address, or an IPv6 address in brackets."""

    __slots__ = ()

    hint: ClassVar[str] = "write HOST:PORT, [IPV6]:PORT for an IPv6 address"
    default_port: ClassVar[int] = 0
    """The port where none is written; 0: it must be written."""
    names: ClassVar[frozenset[str] | None] = None
    """The names that may stand in place of an address; none: any name."""
    any_host: ClassVar[bool] = False
    """Whether the host may be left out."""

    @property
    def host(self) -> str:
        """The host without brackets; empty where only a port was written."""
        return self.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port, 1 to 65535."""
        return int(self.rpartition(":")[2])

    @classmethod
    def read(cls, value: object) -> Self:
        """Reads what was written; a validation error says what is wrong with it."""
        if isinstance(value, cls):
            return value
        found = _ADDRESS.fullmatch(value) if isinstance(value, str) else None
        if not found:
            _refuse_address(value, cls.hint)
        host, port = found["host"].lower(), int(found["port"] or cls.default_port)
        if not found["port"] and not cls.default_port:
            refuse(f"{shown(value)} has no port", cls.hint)
        if not 1 <= port <= 65535:
            refuse(f"port {port} in {shown(value)} is out of range", "ports are 1 to 65535")
        if host.startswith("["):
            try:
                host = f"[{ipaddress.IPv6Address(host[1:-1])}]"
            except ValueError:
                refuse(f"{shown(value)} is not an IPv6 address", cls.hint)
        elif host and not is_ipv4(host):
            if not is_name(host):
                refuse(f"{shown(value)} is not an address", cls.hint)
            if cls.names is not None and host not in cls.names:
                refuse(f"{shown(value)} is a name, and an address is needed here", cls.hint)
        elif not host and not cls.any_host:
            refuse(f"{shown(value)} has no host", cls.hint)
        return cls(f"{host}:{port}")


_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]:/?#@\s]*)(?::(?P<port>[0-9]{1,5}))?")


def _refuse_address(value: object, hint: str) -> NoReturn:
    if isinstance(value, str):
        if is_ipv6(value):
            refuse(f"{shown(value)} is an IPv6 address without brackets", f"write [{value}]:PORT")
        if "://" in value:
            refuse(f"{shown(value)} is a URL, not an address", hint)
    refuse(f"{shown(value)} is not an address", hint)
