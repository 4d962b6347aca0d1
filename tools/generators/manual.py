"""docs/configuration.md: each key of the configuration, from the models that read it."""

from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from reviver.config.models import Config, Said
from reviver.config.models.autopilot import Gate
from reviver.config.models.balancing import HashBalance
from reviver.config.models.base import BoundedSize, Listed, OnOff, Switch, Worded
from reviver.config.models.hedges import After
from reviver.config.models.statuses import StatusRange
from reviver.config.shares import Percent, Rate
from reviver.config.values import Address, Duration, Kind, Pair, PortRange, Quantity, Size

__all__ = ["generate"]

_HEAD = """\
# Configuration

<!-- Generated from python/reviver/config/models by tools/generate.py: changes belong there. -->

A configuration is one file: YAML, or the same tree as JSON or TOML, by the ending of its name (`.yaml`, `.yml`,
`.json`, `.toml`; any other is read as YAML). Without a name, commands look for `reviver.yaml`, `.yml`, `.toml` and
`.json` in the current folder. `reviver check` says all that is wrong with it, each with line and column;
`reviver schema` prints its JSON Schema, with which editors complete and check while one writes.

- YAML is read with the types of YAML 1.2: `NO` and `22:30` are text, and only `true` and `false` are booleans.
  Anchors and merge keys (`<<`) work. A key that is given twice is an error.
- **Durations** are a number and a unit: `250ms`, `5s`, `2m`, `1h`, `7d`, or several: `1m30s`.
- **Sizes** are a number and a unit: `64KiB`, `10MiB`, `1GiB`, or `kB`, `MB`, `GB` for powers of 1000. A number without
  a unit is bytes.
- **Percentages** are a number, with at most two digits behind the point, and a sign: `5%`, `0.25%`. **Rates** are a
  number and a time: `100/s`, `6000/m`, `10/h`.
- **Networks** are in CIDR form, `10.0.0.0/8` or `2001:db8::/32`; one address is a network too.
- **Patterns** are a value exactly, `*` for any value, a prefix when they end in `*`, and a regular expression when they
  start with `~`. Regular expressions have the syntax of [Rust's regex](https://docs.rs/regex/latest/regex/#syntax):
  no look-around and no back-references, so that none can take for ever.
- `${NAME}` in a text stands for an environment variable, `${NAME:-default}` has a default for one that is not set or
  empty, and `$${` is a literal `${`. They are put in after the file is parsed, so they cannot change it.
- Relative paths are relative to the file's folder.

| Key | What for |
|---|---|
"""


def generate(root: Path) -> tuple[Path, str]:
    """Path and text of docs/configuration.md."""
    manual = _Manual()
    index = "".join(f"| {_link(name, name)} | {_summary(model)} |\n" for name, model in manual.sections if name)
    return root / "docs" / "configuration.md", _HEAD + index + "".join(manual.section(*s) for s in manual.sections)


class _Manual:
    """The sections in order. A model that is met again is described once, where it is nearest to the root."""

    def __init__(self) -> None:
        self.sections: list[tuple[str, type[BaseModel]]] = []
        self.names: dict[type[BaseModel], str] = {}
        for key, field in _fields(Config):
            for model, suffix in _tables(field.annotation):
                self.names.setdefault(model, key + suffix)
        self.add(Config, "")

    def add(self, model: type[BaseModel], name: str) -> None:
        if self.names.setdefault(model, name) != name:
            return
        self.sections.append((name, model))
        for key, field in _fields(model):
            for inner, suffix in _tables(field.annotation):
                self.add(inner, (f"{name}.{key}" if name else key) + suffix)

    def section(self, name: str, model: type[BaseModel]) -> str:
        title = f"`{name}`" if name else "Top level"
        lines = [f"\n## {title}\n", f"{(model.__doc__ or '').rstrip()}\n".replace("\n    ", "\n")]
        lines.append("| Key | Type | Default | Meaning |\n|---|---|---|---|")
        for key, field in _fields(model):
            inner = next((inner for inner, _ in _tables(field.annotation)), None)
            link = _link(key, self.names[inner]) if inner else f"`{key}`"
            lines.append(f"| {link} | {_type(field)} | {_default(field)} | {_meaning(field)} |")
        return "\n".join(lines) + "\n"


_NAMES: dict[Any, str] = {
    bool: "`true` or `false`",
    int: "number",
    float: "number",
    str: "text",
    Duration: "duration",
    PortRange: "port or range",
    StatusRange: "status, class or range",
    Rate: "rate",
    HashBalance: "percentage or `none`",
    Gate: "URL or function",
    After: "quantile or duration",
}


def _fields(model: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        yield field.alias or name, field


def _tables(kind: Any, suffix: str = "") -> Iterator[tuple[type[BaseModel], str]]:
    """The tables within a type, and how the key path goes on to them."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        yield from _tables(arguments[0], suffix)
    elif origin in (Union, UnionType):
        for arm in arguments:
            yield from _tables(arm, suffix)
    elif origin is dict:
        yield from _tables(arguments[1], f"{suffix}.NAME")
    elif origin is tuple:
        yield from _tables(arguments[0], f"{suffix}[]")
    elif isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind, suffix


def _link(key: str, section: str) -> str:
    return f"[`{key}`](#{''.join(c for c in section.lower() if c.isalnum() or c in '-_')})"


def _summary(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().split("\n\n")[0].split(". ")[0].rstrip(".").replace("\n", " ")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _meaning(field: FieldInfo) -> str:
    text = field.description or ""
    if field.examples:
        shown = [yaml.safe_dump(e, default_flow_style=True, width=10_000).strip() for e in field.examples]
        text += " Example: " + ", ".join(f"`{e.removesuffix('...').strip()}`" for e in shown)
    return _cell(text)


def _default(field: FieldInfo) -> str:
    said = next((m.default for m in field.metadata if isinstance(m, Said)), None)
    if said is not None:
        return _cell(said if "`" in said or said == "required" else f"`{said}`" if said == "keep" else said)
    if field.is_required():
        return "required"
    if field.default is None:
        return "not set"
    return _cell(_written(field.default))


def _written(value: Any) -> str:
    if isinstance(value, BaseModel):
        return "see there"
    if isinstance(value, (Quantity, Pair)):
        return f"`{value}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    return "`{}`" if value == {} else '`""`' if value == "" else f"`{value}`"


def _type(field: FieldInfo) -> str:
    kind = _kind(field.annotation, field.metadata)
    bounds = [getattr(m, "ge", getattr(m, "le", None)) for m in field.metadata]
    numbers = [str(bound) for bound in bounds if bound is not None]
    if kind == "number" and len(numbers) == 2:
        kind += f", {numbers[0]} to {numbers[1]}"
    if any(isinstance(m, OnOff) for m in field.metadata):
        kind = f"`true` or `false` or {kind}"
    for words in [m.words for m in field.metadata if isinstance(m, Worded)]:
        kind = " or ".join([*(f"`{word}`" for word in words), kind])
    if any(isinstance(m, Listed) for m in field.metadata):
        kind = f"{kind.removeprefix('list of ')}, or a list"
    return _cell(kind)


def _kind(kind: Any, metadata: list[Any]) -> str:
    named = [m.name for m in metadata if isinstance(m, Kind)]
    if named:
        return named[-1]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        switch = "`true` or " if any(isinstance(m, Switch) for m in arguments[1:]) else ""
        return switch + _kind(arguments[0], list(arguments[1:]))
    if origin in (Union, UnionType):
        return " or ".join(_kind(arm, []) for arm in arguments if arm is not type(None))
    if origin is Literal:
        return " or ".join(f"`{choice}`" for choice in arguments)
    if origin is tuple:
        return f"list of {_kind(arguments[0], [])}"
    if origin is dict:
        inner = _kind(arguments[1], [])
        return inner if inner == "table" else f"table of {inner}"
    if kind in _NAMES:
        return _NAMES[kind]
    if issubclass(kind, Percent):
        return "percentage"
    if issubclass(kind, BoundedSize):
        return "size or `none`"
    if issubclass(kind, Size):
        return "size"
    return "address" if issubclass(kind, Address) else "table"
