"""How `reviver cache` shows what the proxy says of its cache."""

from typing import Any

import click

from reviver.cli.output import duration, percent, print_table, size

CELLS = 20
"""Characters of a bar."""
VERDICTS = ("hit", "stale", "revalidated", "miss", "bypass")


def show_stats(stats: dict[str, Any]) -> None:
    """Memory and disk, requests by route, and why not more of them were hits."""
    tiers = [(name, stats[name]) for name in ("memory", "disk") if stats.get(name)]
    columns = ("", "used", "", "bytes", "of", "objects", "state")
    print_table(columns, [_tier(name, tier) for name, tier in tiers])
    click.echo()
    click.echo(", ".join(f"{stats.get(name, 0)} {name}" for name in ("stored", "evicted", "purged", "collapsed")))
    routes = stats.get("routes") or {}
    groups = [("all", stats), *sorted(routes.items())]
    _table(("route", "hit ratio", *VERDICTS), [_requests(name, group) for name, group in groups])
    _table(("why missed", "requests"), _sorted(stats.get("why_missed")))
    _table(("why not stored", "responses"), _sorted(stats.get("not_stored")))
    top = [[item["url"], item["hits"], size(item["size"])] for item in stats.get("top") or ()]
    _table(("most used", "hits", "size"), top)


def show_found(request: str, found: dict[str, Any]) -> None:
    """What is stored for a request, and what would become of that request now."""
    click.echo(f"key    {found['key']}")
    if found.get("route"):
        click.echo(f"route  {found['route']}")
    click.echo(f"now    {request} would be: {_verdict(found)}\n")
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
    counts = group.get("requests", group)
    total = sum(counts.get(verdict, 0) for verdict in VERDICTS)
    ratio = group["hit_ratio"] if "hit_ratio" in group else _ratio(counts, total)
    return [name, percent(ratio), *(counts.get(verdict, 0) for verdict in VERDICTS)]


def _ratio(counts: dict[str, int], total: int) -> float | None:
    return sum(counts.get(verdict, 0) for verdict in ("hit", "stale")) / total if total else None


def _sorted(counts: dict[str, int] | None) -> list[list[Any]]:
    """The largest first."""
    return [list(row) for row in sorted((counts or {}).items(), key=lambda item: (-item[1], item[0]))]


def _variant(item: dict[str, Any]) -> list[Any]:
    return [
        item["variant"] or "-",
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
        _verdict(item),
    ]


def _verdict(of: dict[str, Any]) -> str:
    verdict, reason = of["verdict"], of.get("reason")
    return f"{verdict} ({reason})" if reason and reason != verdict else str(verdict)


def _table(columns: tuple[str, ...], rows: list[list[Any]]) -> None:
    if rows:
        click.echo()
        print_table(columns, rows)
