"""What `reviver canary status` shows."""

from collections.abc import Mapping, Sequence
from typing import Any

from reviver.canary import intervals, words
from reviver.canary.counters import Counters
from reviver.canary.settings import Settings
from reviver.canary.trial import Trial
from reviver.canary.walk import OVER, Walk

SHOWN = 20
"""Judgements."""
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
"""Shown always; those that are judged too."""


def status(
    settings: Settings, walk: Walk, trial: Trial, judgements: Sequence[Mapping[str, Any]], now: float
) -> dict[str, Any]:
    """As JSON; shares from 0 to 1, latencies in milliseconds, weights in basis points."""
    seconds = None if walk.begun is None or walk.phase in OVER else max(0.0, now - walk.begun)
    sides = {"canary": trial.step.canary, "baseline": trial.step.baseline}
    names = ["error_rate", *settings.statuses]
    quantiles = {**QUANTILES, **{name: at for name, (at, _) in settings.latencies.items()}}
    alpha = 1 - settings.confidence
    return {
        "state": "dry" if settings.dry_run else _state(settings, walk, seconds),
        "would": _state(settings, walk, seconds) if settings.dry_run else None,
        "confidence": settings.confidence,
        "weight": walk.weight,
        "step": walk.step,
        "steps": _steps(settings, walk, seconds),
        "seconds": seconds,
        "every": settings.every,
        "min_requests": settings.min_requests,
        "requests": {side: counters.requests for side, counters in sides.items()},
        "shares": {name: {side: _share(counters, name, alpha) for side, counters in sides.items()} for name in names},
        "latency": {
            name: {side: _quantile(counters, at, alpha) for side, counters in sides.items()}
            for name, at in sorted(quantiles.items(), key=lambda item: item[1])
        },
        "metrics": _metrics(settings, trial),
        "gate": _gate(settings, walk, now),
        "verdict": _verdict(walk, trial, now),
        "judgements": [dict(judgement) for judgement in judgements[-SHOWN:]],
    }


def _state(settings: Settings, walk: Walk, seconds: float | None) -> str:
    match walk.phase:
        case "before" | "after":
            return "gate"
        case "walking" if seconds is not None and seconds >= settings.every:
            return "waiting"
        case "new":
            return "walking"
        case phase:
            return phase


def _steps(settings: Settings, walk: Walk, seconds: float | None) -> list[dict[str, Any]]:
    """Each with `done`, `current` or `to come`, and how long it has lasted."""
    begun = bool(walk.weight) or walk.phase in OVER
    rows = []
    for index, weight in enumerate(settings.steps):
        took = walk.took.get(str(index))
        if took is not None or (walk.phase == "promoted" and weight <= walk.weight):
            state = "done"
        elif begun and index == walk.step and walk.phase not in OVER:
            state, took = "current", seconds
        else:
            state = "done" if begun and walk.phase not in OVER and index < walk.step else "to come"
        rows.append({"weight": weight, "state": state, "seconds": took})
    return rows


def _share(side: Counters, name: str, alpha: float) -> dict[str, Any]:
    """What was counted, its share, and the interval; the latter are None before the first request."""
    count, low, high = side.count(name), None, None
    if side.requests:
        low, high = intervals.rate(side.requests, count, alpha)
    value = count / side.requests if side.requests else None
    return {"count": count, "value": value, "low": low, "high": high}


def _quantile(side: Counters, at: float, alpha: float) -> dict[str, Any]:
    """In milliseconds; `high` is None where there are too few to say."""
    found = intervals.quantile(side.latency, at, alpha)
    if found is None:
        return {"value": None, "low": None, "high": None}
    value, low, high = found
    return {"value": value / 1000, "low": low / 1000, "high": None if high is None else high / 1000}


def _metrics(settings: Settings, trial: Trial) -> list[dict[str, Any]]:
    """What is judged, and how far the evidence is, from 0 to 1: of harm, and against harm of the margin."""
    margins = {**settings.shares, **{name: margin for name, (_, margin) in settings.latencies.items()}}
    progress = trial.progress()
    return [
        {
            "name": name,
            "title": words.metric(name),
            "margin": margin,
            "relative": name in settings.latencies,
            "harm": progress[name][0],
            "safe": progress[name][1],
        }
        for name, margin in margins.items()
    ]


def _gate(settings: Settings, walk: Walk, now: float) -> dict[str, Any] | None:
    """What is asked, or was refused and when it is asked again."""
    if walk.asks is None:
        return None
    return {
        "kind": walk.phase,
        "step": walk.asks,
        "weight": settings.steps[walk.asks],
        "refused": walk.refused,
        "again_in": None if walk.ask_at is None else max(0.0, walk.ask_at - now),
    }


def _verdict(walk: Walk, trial: Trial, now: float) -> dict[str, Any]:
    """The last word on it, as kind and text."""
    if walk.reason is not None:
        return {"kind": walk.phase, "text": walk.reason}
    if walk.asks is not None:
        doing = "is being asked" if walk.refused is None else f"did not pass: {walk.refused}"
        return {"kind": "gate", "text": f"the gate {walk.phase} step {walk.asks + 1} {doing}"}
    if walk.begun is None or not walk.weight:
        return {"kind": "none", "text": "nothing is known yet"}
    judgement = trial.judge(now, walk.step, walk.weight, max(0.0, now - walk.begun))
    return {"kind": judgement.verdict, "text": judgement.text}
