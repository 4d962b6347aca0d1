"""What a person writes: reading it, checking it, saying what is wrong with it.

    load_file(path)        a YAML, JSON or TOML file, as `Loaded`
    load_mapping(tree)     the same tree made by a program
    find_default(folder)   the configuration file of a folder
    control_socket(path)   the control socket that a file names, whatever else is wrong with it
    json_schema()          JSON Schema of the configuration, for editors

All raise `reviver.errors.ConfigurationError` with everything that is wrong, never just the first error.

The names are loaded when they are used: the models take long to build, and not every command needs them.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reviver.config.load import Loaded, json_schema, load_file, load_mapping
    from reviver.config.locate import control_socket, find_default
    from reviver.config.models import Config
    from reviver.config.positions import KeyPath, Positions, path_text

__all__ = [
    "Config",
    "KeyPath",
    "Loaded",
    "Positions",
    "control_socket",
    "find_default",
    "json_schema",
    "load_file",
    "load_mapping",
    "path_text",
]

_HOMES = {
    "Config": "models",
    "KeyPath": "positions",
    "Positions": "positions",
    "control_socket": "locate",
    "find_default": "locate",
    "path_text": "positions",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES.get(name, 'load')}"), name)
    globals()[name] = value
    return value
