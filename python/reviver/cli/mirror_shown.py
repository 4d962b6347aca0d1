"""How `reviver canary diff` shows what was copied, and how answers to copies differ."""

from collections.abc import Mapping
from typing import Any

import click

from reviver.canary import words
from reviver.cli.output import print_table

WHY = {
    "body": "with a body that was too long, of unknown length, or did not come",
    "busy": "while too many copies were under way",
    "upgrade": "for another protocol (Upgrade)",
}
"""Why requests are not copied."""


def show_mirrors(mirrors: list[dict[str, Any]]) -> None:
    """One after the other."""
    for index, mirror in enumerate(mirrors):
        if index:
            click.echo()
        _show(mirror)
    if not mirrors:
        click.echo("the configuration has no mirrors")


def _show(mirror: Mapping[str, Any]) -> None:
    share = words.weight(mirror["percent"])
    click.echo(f"{mirror['of']} {mirror['name']}: {share} of the requests are copied to {mirror['pool']}")
    if not mirror["copied"] and not mirror["skipped"]:
        click.echo("nothing was mirrored yet")
        return
    click.echo(f"{mirror['copied']} copied")
    for why, count in mirror["skipped"].items():
        click.echo(f"{count} not copied: {WHY.get(why, why)}")
    if mirror["compare"] is None:
        click.echo("answers are not compared: write compare: true for that")
        return
    _show_comparison(mirror)


def _show_comparison(mirror: Mapping[str, Any]) -> None:
    compared, same, pool = mirror["compared"], mirror["same"], mirror["pool"]
    if compared:
        share = words.percent(same / compared)
        click.echo(f"{compared} compared: {same} the same ({share}), {compared - same} with differences")
    else:
        click.echo("nothing was compared yet: only GET and HEAD are")
    if mirror["unanswered"]:
        click.echo(f"{mirror['unanswered']} not compared: people's own pool did not answer them twice")
    if mirror["differences"]:
        click.echo()
        rows = [
            [item["what"], item["answered"], item["mirrored"], item["count"], item["route"], "  ".join(item["paths"])]
            for item in mirror["differences"]
        ]
        print_table(("what differs", "people get", f"{pool} answers", "times", "route", "for example"), rows)
    if mirror["more"]:
        click.echo(f"and {mirror['more']} further ones, of kinds that came after these")
    if mirror["noise"]:
        listed = ", ".join(f"{what} ({_times(count)})" for what, count in mirror["noise"].items())
        click.echo(f"\nnot judged, since two answers of people's own pool differ too: {listed}")


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
