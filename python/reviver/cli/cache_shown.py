"""How `reviver cache` shows what the proxy says of its cache."""

import sys
from typing import Any

import click

from reviver.cli.output import duration, paint, percent, print_table, size

CELLS = 20
"""Characters of a bar."""
VERDICTS = ("hit", "stale", "revalidated", "miss", "bypass")
STATES = {
    "full": ("the disk is full", "yellow"),
    "read_only": ("the disk is read-only", "yellow"),
    "failed": ("the disk fails; the proxy's standard error says how", "red"),
}
"""What else than `ok` a disk may be, and its colour."""


def show_stats(stats: dict[str, Any]) -> None:
    """Memory and disk, requests by route, and why not more of them were hits."""
    tiers = [(name, stats[name]) for name in ("memory", "disk") if stats.get(name)]
    columns = ("", "used", "", "bytes", "of", "objects", "state")
    print_table(columns, [_tier(name, tier) for name, tier in tiers])
    if (state := (stats.get("disk") or {}).get("state")) in STATES:
        sentence, colour = STATES[state]
        click.echo()
        click.echo(paint(f"{sentence}: nothing new is stored there", fg=colour, stream=sys.stdout))
    _table(("since the start", "count", ""), _events(stats))
    routes = stats.get("routes") or {}
    groups = [("all", stats), *sorted(routes.items()), *_gone(stats, routes)]
    _table(("route", "hit ratio", *VERDICTS), [_requests(name, group) for name, group in groups])
    _table(("why missed", "requests"), _sorted(stats.get("why_missed")))
    _table(("why not stored", "responses"), _sorted(stats.get("not_stored")))
    top = [[item["url"], item["hits"], size(item["size"])] for item in stats.get("top") or ()]
    _table(("most used", "hits", "size"), top)


def show_found(request: str, found: dict[str, Any]) -> None:
    """What is stored for a request, and what would become of that request now."""
    if found["key"] is not None:
        click.echo(f"key    {found['key']}")
    if found.get("route"):
        click.echo(f"route  {found['route']}")
    if found["verdict"] == "not_cached":
        click.echo(f"now    {request} would not be cached: {_uncached(found)}")
        return
    click.echo(f"now    {request} would be: {verdict_of(found)}\n")
    stored = found["stored"]
    if not stored:
        click.echo("nothing is stored")
        return
    columns = ("variant", "status", "age", "ttl", "basis", "size", "in", "hits", "stored at", "tags", "groups", "now")
    print_table(columns, [_variant(item) for item in stored])


def bar(share: float) -> str:
    """A share of one, in characters."""
    full = round(min(max(share, 0.0), 1.0) * CELLS)
    return "█" * full + "░" * (CELLS - full)


def _tier(name: str, tier: dict[str, Any]) -> list[Any]:
    share = tier["bytes"] / tier["limit"] if tier["limit"] else 0.0
    state = tier.get("state", "")
    return [
        name,
        bar(share),
        percent(share),
        size(tier["bytes"]),
        size(tier["limit"]),
        tier["objects"],
        "" if state == "ok" else state.replace("_", "-"),
    ]


def _requests(name: str, group: dict[str, Any]) -> list[Any]:
    """A route's counters are beside each other, or under `requests` as those of all are."""
    counts = _counts(group)
    asked = sum(counts[verdict] for verdict in VERDICTS if verdict != "bypass")
    ratio = group.get("hit_ratio", (counts["hit"] + counts["stale"]) / asked) if asked else None
    return [name, percent(ratio), *counts.values()]


def _counts(group: dict[str, Any]) -> dict[str, int]:
    counts = group.get("requests", group)
    return {verdict: counts.get(verdict, 0) for verdict in VERDICTS}


def _gone(stats: dict[str, Any], routes: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """What routes had counted that a reload has taken away, so that the rows add up."""
    left = _counts(stats)
    for route in routes.values():
        left = {verdict: max(count - _counts(route)[verdict], 0) for verdict, count in left.items()}
    return [("(no longer there)", left)] if any(left.values()) else []


def _events(stats: dict[str, Any]) -> list[list[Any]]:
    """What became of responses, and where."""
    disk = stats.get("disk") or {}
    evicted, on_disk = stats.get("evicted", 0), disk.get("evicted", 0)
    rows = [
        ["stored", stats.get("stored", 0), "responses"],
        ["evicted", evicted, f"to make room: {evicted - on_disk} from memory, {on_disk} from disk" if on_disk else ""],
        ["purged", stats.get("purged", 0), ""],
        ["collapsed", stats.get("collapsed", 0), "requests that shared the fetch of another"],
    ]
    if disk.get("dropped"):
        rows.append(["dropped", disk["dropped"], "that the disk was too slow for"])
    return rows


def _uncached(found: dict[str, Any]) -> str:
    """Why a request has nothing to do with the cache."""
    if found.get("reason") != "forwarded":
        return f"it is not for an upstream ({found.get('reason')})"
    return f"route {found['route']} has no `cache`" if found.get("route") else "`forward` has no `cache`"


def _sorted(counts: dict[str, int] | None) -> list[list[Any]]:
    """The largest first."""
    return [list(row) for row in sorted((counts or {}).items(), key=lambda item: (-item[1], item[0]))]


def _variant(item: dict[str, Any]) -> list[Any]:
    return [
        variant_of(item) or "-",
        item["status"],
        duration(item["age"]),
        duration(item["ttl"]),
        item["basis"],
        size(item["size"]),
        item["stored_as"],
        item["hits"],
        item["stored_at"],
        ", ".join(item["tags"]),
        ", ".join(item["groups"]),
        verdict_of(item),
    ]


def variant_of(item: dict[str, Any]) -> str:
    """The request fields that a response is for, on one line; empty where it is for all."""
    return ", ".join(line.strip() for line in item["variant"].splitlines() if line.strip())


def verdict_of(of: dict[str, Any]) -> str:
    """Hit, stale, miss or bypass, with the reason where it says more."""
    verdict, reason = of["verdict"], of.get("reason")
    return f"{verdict} ({reason})" if reason and reason != verdict else str(verdict)


def _table(columns: tuple[str, ...], rows: list[list[Any]]) -> None:
    if rows:
        click.echo()
        print_table(columns, rows)
