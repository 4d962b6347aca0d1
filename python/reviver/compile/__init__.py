"""From what was written to the plan that the engine runs.

    gather(loaded)                 reads the files that a configuration refers to: the only I/O
    compile_plan(loaded, inputs)   the plan; a pure function of its arguments

Both raise `reviver.errors.ConfigurationError` with everything that is wrong.
"""

from reviver.compile.inputs import Inputs, gather
from reviver.compile.plan import FINGERPRINT, Plan
from reviver.compile.whole import compile_plan

__all__ = ["FINGERPRINT", "Inputs", "Plan", "compile_plan", "gather"]
