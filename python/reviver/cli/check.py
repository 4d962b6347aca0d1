"""`reviver check`: is a configuration good?"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reviver.cli.options import FILE, configuration, json_option, load
from reviver.cli.output import diagnostics, note, print_json

if TYPE_CHECKING:
    from reviver.compile import Plan
    from reviver.errors import Diagnostic


@click.command("check")
@click.argument("config", type=FILE, required=False)
@json_option
def command(config: Path | None, as_json: bool) -> int:
    """Say whether a configuration is good, or all that is wrong with it.

    Reads the configuration and the files that it names, and starts nothing. Exit code 2 when there are errors, each
    on a line: file:line:column: key.path: what is wrong (what would be right). Certificates that clients would not
    accept are errors here, though a proxy would start with them.

    \b
    reviver check
    reviver check site.yaml --json
    """
    from reviver.control.compiled import compile_loaded
    from reviver.errors import ConfigurationError

    try:
        path = configuration(config)
        compiled = compile_loaded(load(path))
    except ConfigurationError as error:
        return _refuse(error.diagnostics, as_json)
    warnings = sorted([*compiled.loaded.warnings, *compiled.inputs.advice], key=_place)
    # a proxy starts with these, but clients would refuse it
    if doubts := [replace(item, severity="error") for item in compiled.inputs.warnings]:
        return _refuse(sorted([*warnings, *doubts], key=_place), as_json)
    summary = _summary(compiled.plan)
    if as_json:
        print_json({"ok": True, "diagnostics": [item.as_dict() for item in warnings], **summary})
    else:
        diagnostics(warnings)
        click.echo(f"{path} is good: {_sentence(summary)}")
    return 0


def _place(diagnostic: "Diagnostic") -> tuple[int, int]:
    return diagnostic.line, diagnostic.column


def _refuse(found: "Sequence[Diagnostic]", as_json: bool) -> int:
    if as_json:
        print_json({"ok": False, "diagnostics": [item.as_dict() for item in found]})
    else:
        diagnostics(found)
        errors = sum(item.severity == "error" for item in found)
        if errors > 1:
            note(f"{errors} errors")
    return 2


def _summary(plan: "Plan") -> dict[str, Any]:
    reverse = plan["reverse"]
    return {
        "listeners": [
            {"name": item["name"], "role": item["role"], "bind": list(item["bind"])} for item in plan["listeners"]
        ],
        "routes": 0 if reverse is None else len(reverse["routes"]),
        "pools": 0 if reverse is None else len(reverse["pools"]),
        "splits": 0 if reverse is None else len(reverse["splits"]),
        "servers": 0 if reverse is None else sum(len(pool["servers"]) for pool in reverse["pools"]),
        "logs": len(plan["logs"]),
        "workers": plan["workers"],
    }


def _sentence(summary: dict[str, Any]) -> str:
    listeners = ", ".join(f"{item['name']} ({item['role']}, {' '.join(item['bind'])})" for item in summary["listeners"])
    counts = [(len(summary["listeners"]), "listener"), (summary["routes"], "route"), (summary["pools"], "pool")]
    counts += [(summary["splits"], "split"), (summary["servers"], "server"), (summary["workers"], "worker")]
    texts = [f"{count} {noun}{'' if count == 1 else 's'}" for count, noun in counts if count]
    texts[0] += f": {listeners}"
    return "; ".join(texts)
