"""The `reviver` command: finds the subcommand, and turns every failure into one line and an exit code."""

import importlib
import os
import sys
from collections.abc import Sequence

import click

from reviver import __version__
from reviver.cli.output import diagnostics, fail

COMMANDS = {
    "run": "Serve by a configuration file.",
    "reverse": "A load balancer in one line.",
    "forward": "A forward proxy in one line.",
    "demo": "Both directions on loopback, with some traffic.",
    "check": "Say whether a configuration is good, or what is wrong with it.",
    "explain": "Say which rule decides a request, and why, without sending it.",
    "schema": "Print the JSON Schema of the configuration, for editors.",
    "status": "Show how the running proxy fares.",
    "pool": "Show servers; drain, restore, add and remove them.",
    "canary": "Show splits; set weights, promote, abort, resume.",
    "reload": "Make the running proxy read its configuration again.",
    "cache": "Show what is cached, purge it, fetch in advance.",
    "certificates": "Show certificates and when they end; renew them.",
    "stop": "End the running proxy; flows in flight finish.",
}
"""Each command with its line in the overview, in the order of the overview. `run` is in `reviver.cli.run`."""

GOOD, FAILED, UNUSABLE = 0, 1, 2


class _LazyGroup(click.Group):
    """A group that imports a command only when it is called: the overview and `--version` import none."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"reviver.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(COMMANDS)}"
            ctx.fail(f"no such command: {args[0]} ({hint})")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "--version", "-V", message="reviver %(version)s")
def cli() -> None:
    """One proxy that reads the same forward and in reverse.

    \b
    reviver demo                                   see both directions at work
    reviver reverse 127.0.0.1:9001 127.0.0.1:9002  balance over two servers on :8080
    reviver forward                                a proxy for this machine on 127.0.0.1:3128
    reviver run reviver.yaml                       serve by a configuration

    Exit codes: 0 good, 1 the operation failed, 2 bad configuration or usage.
    """


def run(arguments: Sequence[str]) -> int:
    """Runs the command line and returns the exit code. Nothing is raised: failures are lines on stderr."""
    try:
        code = cli.main(args=list(arguments), prog_name="reviver", standalone_mode=False)
        return code if isinstance(code, int) else GOOD
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return UNUSABLE
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        where = context.command_path if context is not None else "reviver"
        fail(f"{error.format_message()} ({where} --help says more)")
        return UNUSABLE
    except (click.Abort, KeyboardInterrupt):
        fail("interrupted")
        return 130
    except BrokenPipeError:
        # Whoever read our output has seen enough; the interpreter must not try to flush the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        return _failed(error)


def _failed(error: Exception) -> int:
    from reviver.errors import ConfigurationError, ReviverError

    if isinstance(error, ConfigurationError):
        diagnostics(error.diagnostics)
        return UNUSABLE
    if isinstance(error, ReviverError):
        fail(str(error))
        return FAILED
    if os.environ.get("REVIVER_DEBUG"):
        raise error
    fail(f"internal error: {type(error).__name__}: {error} (set REVIVER_DEBUG=1 to see where)")
    return FAILED
