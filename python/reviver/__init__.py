"""Reviver: one proxy that reads the same forward and in reverse.

The public names of the package, and nothing else. The command line is the main way in: see `reviver --help`.
"""

__version__ = "0.1.0"

__all__ = ["__version__"]
