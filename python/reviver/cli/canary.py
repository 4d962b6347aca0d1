"""`reviver canary`: who gets which version, by hand and by the autopilot."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reviver.cli.options import ask_running, json_option, running_proxy_options

if TYPE_CHECKING:
    from reviver.control.protocol import Command

_PERCENT = re.compile(r"([0-9]{1,3})(?:\.([0-9]{1,2}))?%?")
_VARIANT = re.compile(r"([^=]+)=(.*)")


@click.group("canary")
def command() -> None:
    """Show splits and what their autopilots say; set weights, promote, abort, resume; compare answers of mirrors.

    Weights hold for all workers at once. They hold over reloads and restarts, until the configuration says something
    else than when they were set.

    \b
    reviver canary status
    reviver canary set shop 25%
    reviver canary abort shop
    """


@command.command("status", short_help="Weights, steps, both sides, and the verdict.")
@click.argument("split", required=False)
@running_proxy_options
@json_option
def status(split: str | None, config: Path | None, socket: Path | None, as_json: bool) -> int:
    """Show every split, or SPLIT: the weights, and how the sides fare.

    With an autopilot: its steps, the requests of the current step with error rates and latencies of both sides, how
    far the evidence is, the verdict, and the last judgements. Intervals hold at all times at once: one may look as
    often as one likes. In JSON weights are in hundredths of a percent, latencies of variants in microseconds.

    \b
    reviver canary status
    reviver canary status shop --json | jq '.splits[0].autopilot.verdict'
    """
    answer = ask_running("canary.status", config, socket, as_json, request={"split": split})
    if not as_json:
        from reviver.cli.canary_shown import show_splits

        show_splits(answer["splits"])
    return 0


@command.command("set", short_help="Set the weights by hand.")
@click.argument("split")
@click.argument("weights", nargs=-1, metavar="WEIGHT | VARIANT=WEIGHT...")
@running_proxy_options
@json_option
def set_weights(split: str, weights: tuple[str, ...], config: Path | None, socket: Path | None, as_json: bool) -> int:
    """Set the canary's weight, or that of each variant of SPLIT; in steps of 0.01%.

    An autopilot holds the weight then, and still takes the canary back on harm; `canary resume` lets it walk on. The
    weights of variants add up to 100%.

    \b
    reviver canary set shop 25%
    reviver canary set shop 0.25%
    reviver canary set search a=50% b=30% c=20%
    """
    if not weights:
        raise click.UsageError(f"say the weight: {split} 25%, or that of each variant: {split} a=50% b=50%")
    return _change("canary.set", {"split": split, **_weights(weights)}, config, socket, as_json)


@command.command("promote", short_help="All traffic to the canary, in one step.")
@click.argument("split")
@click.argument("variant", required=False)
@running_proxy_options
@json_option
def promote(split: str, variant: str | None, config: Path | None, socket: Path | None, as_json: bool) -> int:
    """Give all traffic of SPLIT to its canary in one step, whatever weight it has: a blue/green switch.

    A split of variants has no canary: VARIANT says which one gets all. An autopilot's walk is over then.

    \b
    reviver canary promote shop
    reviver canary promote search b
    """
    return _change("canary.promote", {"split": split, "variant": variant}, config, socket, as_json)


@command.command("abort", short_help="No traffic to the canary, at once.")
@click.argument("split")
@click.argument("variant", required=False)
@running_proxy_options
@json_option
def abort(split: str, variant: str | None, config: Path | None, socket: Path | None, as_json: bool) -> int:
    """Take the canary of SPLIT out at once: its weight becomes 0%.

    An autopilot stops until `canary resume` or `canary set`. A split of variants has no canary: VARIANT says which one
    gets nothing, and the others share its weight in proportion to theirs.

    \b
    reviver canary abort shop
    reviver canary abort search b
    """
    return _change("canary.abort", {"split": split, "variant": variant}, config, socket, as_json)


@command.command("resume", short_help="The autopilot goes on.")
@click.argument("split")
@running_proxy_options
@json_option
def resume(split: str, config: Path | None, socket: Path | None, as_json: bool) -> int:
    """Let the autopilot of SPLIT walk on from the weight that was set, or begin again after its walk was over.

    \b
    reviver canary resume shop
    """
    return _change("canary.resume", {"split": split}, config, socket, as_json)


@command.command("diff", short_help="How answers to mirrored requests differ.")
@click.argument("name", required=False, metavar="[SPLIT|ROUTE]")
@running_proxy_options
@json_option
def diff(name: str | None, config: Path | None, socket: Path | None, as_json: bool) -> int:
    """Show what was copied by each mirror, or by that of SPLIT or ROUTE, and how the answers differ from those that
    people get, grouped, the most frequent differences first.

    Answers are compared where the mirror has `compare: true`. What differs between two answers of the pool that people
    use differs by itself, and is not judged. Counts are those since the start.

    \b
    reviver canary diff
    reviver canary diff shop --json | jq '.mirrors[0].differences'
    """
    answer = ask_running("canary.diff", config, socket, as_json, request={"name": name})
    if not as_json:
        from reviver.cli.mirror_shown import show_mirrors

        show_mirrors(answer["mirrors"])
    return 0


def _change(verb: "Command", request: dict[str, Any], config: Path | None, socket: Path | None, as_json: bool) -> int:
    split = ask_running(verb, config, socket, as_json, request=request)
    if not as_json:
        from reviver.cli.canary_shown import headline

        click.echo(headline(split))
    return 0


def _weights(written: tuple[str, ...]) -> dict[str, Any]:
    """What the proxy is asked for. Raises BadParameter."""
    if len(written) == 1 and "=" not in written[0]:
        return {"weight": _points(written[0])}
    weights: dict[str, int] = {}
    for text in written:
        found = _VARIANT.fullmatch(text)
        if found is None:
            raise click.BadParameter(f"{text!r} is not VARIANT=WEIGHT", param_hint="WEIGHT")
        if found[1] in weights:
            raise click.BadParameter(f"{found[1]} is there twice", param_hint="WEIGHT")
        weights[found[1]] = _points(found[2])
    return {"weights": weights}


def _points(text: str) -> int:
    """Hundredths of a percent."""
    found = _PERCENT.fullmatch(text)
    if found is None:
        raise click.BadParameter(f"{text!r} is not a percentage in steps of 0.01%: write 25%", param_hint="WEIGHT")
    points = int(found[1]) * 100 + int((found[2] or "").ljust(2, "0"))
    if points > 10_000:
        raise click.BadParameter(f"{text} is more than 100%", param_hint="WEIGHT")
    return points
