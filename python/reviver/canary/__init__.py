"""The autopilot of a split: it walks the weights, and judges the canary at each step.

    settings   what a configuration asks of it
    counters   what both sides have answered, and what has come in addition
    autopilot  steps, gates, commands, state
    walk       where it is
    trial      what was counted at a step, and the verdict on it
    judge      the tests of all metrics
    metrics    the tests of one: shares of requests, quantiles of latency
    process    evidence over a walk, from that of blocks
    evidence   e-values of blocks
    intervals  confidence sequences, for people
    status     what `reviver canary status` shows
    words      numbers as people read them

Nothing here does I/O or reads a clock: the time is an argument, what is to be done comes back as actions. What is
promised, and why these tests, stands in docs/decisions/0017-canary-judgement.md.
"""

from reviver.canary.actions import Action, Event, Gate, SetWeight
from reviver.canary.autopilot import Autopilot
from reviver.canary.counters import Counters
from reviver.canary.settings import Settings

__all__ = ["Action", "Autopilot", "Counters", "Event", "Gate", "SetWeight", "Settings"]
