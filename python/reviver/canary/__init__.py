"""The autopilot of a split: it walks the weights, and judges the canary at each step.

    settings   what a configuration asks of it
    counters   what both sides have answered, and what has come in addition
    evidence   e-values of two samples of yes and no: the tests
    judge      the tests of all metrics over a walk
    intervals  confidence sequences, for people and for the step that has no stable side left
    autopilot  steps, gates, commands, state
    status     what `reviver canary status` shows

Nothing here does I/O or reads a clock: the time is an argument, what is to be done comes back as actions. What is
promised, and why these tests, stands in docs/decisions/0017-canary-judgement.md.
"""

from reviver.canary.actions import Action, Event, Gate, SetWeight
from reviver.canary.autopilot import Autopilot
from reviver.canary.counters import Counters
from reviver.canary.settings import Settings

__all__ = ["Action", "Autopilot", "Counters", "Event", "Gate", "SetWeight", "Settings"]
