"""What `reviver explain` tells of the running proxy's cache."""

from pathlib import Path
from typing import Any, NoReturn

import click

from reviver.cli.cache_shown import variant_of, verdict_of
from reviver.cli.options import find_socket
from reviver.cli.output import duration
from reviver.control import client
from reviver.errors import OperationError, ReviverError

PATIENCE = 2.0
"""Seconds that the running proxy has for each line of its answer."""


def looked_up(path: Path, request: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """`cache`, what the proxy that runs with the configuration has for an explained request, and `cache_note`.

    `cache` is None where nothing is known or the request does not look into the cache. Never raises: the explanation
    is good without.
    """
    if not any(step["phase"] == "cache_lookup" for step in answer["steps"]):
        return {"cache": None, "cache_note": None}
    try:
        found = client.ask(find_socket(path, None), "cache.get", request=request, on_progress=_busy, patience=PATIENCE)
    except (ReviverError, OSError) as error:
        return {"cache": None, "cache_note": f"what is stored is not known: {error}"}
    note = None
    if found["route"] != answer["route"]:
        note = "the running proxy decides by another route: it has not read this configuration yet"
    return {"cache": _told(found), "cache_note": note}


def show(looked: dict[str, Any]) -> None:
    """For people; nothing where nothing was looked up."""
    cache, note = looked["cache"], looked["cache_note"]
    if cache is None and note is None:
        return
    click.echo()
    if cache is not None:
        click.echo(f"in the cache of the running proxy: {verdict_of(cache)}")
        if cache["key"] is not None:
            click.echo(f"  key      {cache['key']}")
        if cache["basis"] is not None:
            click.echo(f"  variant  {cache['variant'] or '-'}")
            click.echo(f"  age      {duration(cache['age'])}")
            click.echo(f"  ttl      {duration(cache['ttl'])}, by {cache['basis']}")
    if note is not None:
        click.echo(note)


def serves(looked: dict[str, Any]) -> bool:
    """Whether the request would be answered from the running proxy's cache, and the upstream not be asked before."""
    cache = looked["cache"]
    return cache is not None and cache["verdict"] in ("hit", "stale")


def _told(found: dict[str, Any]) -> dict[str, Any]:
    """Verdict and key, and of the variant that would serve what it is and what its freshness comes from."""
    # the others are for other requests
    chosen: dict[str, Any] = next((item for item in found["stored"] if item["reason"] != "vary_miss"), {})
    told = {name: chosen.get(name) for name in ("status", "age", "ttl", "basis", "stored_as", "tags")}
    return {
        "verdict": found["verdict"],
        "reason": found["reason"],
        "key": found["key"],
        "variant": variant_of(chosen) if chosen else None,
        **told,
    }


def _busy(_: dict[str, Any]) -> NoReturn:
    raise OperationError("the running proxy takes long to look; ask it by `reviver cache get`")
