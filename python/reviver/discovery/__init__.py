"""Servers of pools that are found while the proxy runs: one file for each source, and who goes by its answers.

    source_of(discover, ...)   what a configuration names, as a `Source`
    Discoverer                 takes its answers, and says when it fails

A source looks by itself, as often as it has to, and yields each answer; what is in it is worked out by functions that
touch nothing. Libraries are loaded by the source that needs them.
"""

from reviver.discovery.answers import Answer, Failed, Found, Source, SourceError
from reviver.discovery.discoverer import Discoverer
from reviver.discovery.sources import Surroundings, source_of

__all__ = ["Answer", "Discoverer", "Failed", "Found", "Source", "SourceError", "Surroundings", "source_of"]
