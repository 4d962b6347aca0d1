"""What a person writes: reading it, checking it, saying what is wrong with it.

    load_file(path)        a YAML, JSON or TOML file, as `Loaded`
    load_mapping(tree)     the same tree made by a program
    find_default(folder)   the configuration file of a folder
    json_schema()          JSON Schema of the configuration, for editors

All raise `reviver.errors.ConfigurationError` with everything that is wrong, never just the first error.
"""

from reviver.config.load import Loaded, find_default, json_schema, load_file, load_mapping
from reviver.config.models import Config
from reviver.config.positions import KeyPath, Positions, path_text

__all__ = [
    "Config",
    "KeyPath",
    "Loaded",
    "Positions",
    "find_default",
    "json_schema",
    "load_file",
    "load_mapping",
    "path_text",
]
