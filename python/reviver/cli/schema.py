"""`reviver schema`: JSON Schema of the configuration."""

import click

from reviver.cli.output import print_json


@click.command("schema")
def command() -> None:
    """Print the JSON Schema of the configuration, for editors.

    \b
    reviver schema > reviver.schema.json
    and as the first line of reviver.yaml:
    # yaml-language-server: $schema=reviver.schema.json
    """
    from reviver.config import json_schema

    print_json(json_schema())
