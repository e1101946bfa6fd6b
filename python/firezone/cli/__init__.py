"""The command line: `firezone COMMAND`.

Data goes to stdout, messages to stderr. Exit codes:

    0  ok                       5  portal unreachable
    1  failed                   6  privilege missing
    2  usage                    7  timed out
    3  configuration            130  interrupted
    4  access refused

A command's module is loaded when the command is used, so that `firezone version` stays fast.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from typing import TYPE_CHECKING, Any, Final

import click

from firezone import __version__
from firezone.errors import FirezoneError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["main"]

FAILED: Final = 1
INTERRUPTED: Final = 130

_COMMANDS: Final = {
    "client": "Run a Client on this host, look at it, end it.",
    "config": "Check and show the settings.",
    "debug": "Look closely at a running endpoint.",
    "demo": "Transfer through a DNS resource while it is re-created again and again.",
    "dns": "Ask the running Client for names.",
    "explain": "Tell why a packet would pass or not.",
    "gateway": "Run a Gateway on this host, look at it, end it.",
    "host": "Show and undo what was changed on this host.",
    "keys": "Make private keys, and show the public keys that the other side needs.",
    "logs": "Show the log files for people.",
    "nat": "Look into a running endpoint's DNS resource NAT.",
    "ping": "Ping a name or an address that a resource covers.",
    "portal": "Keep who may reach what, and serve Clients and Gateways.",
    "version": "Show the version.",
}
"""Command to its line in the help; the module and its command have the same name."""


class LazyGroup(click.Group):
    """A group that imports the module of a command when the command is used.

    Args:
        *arguments: Of `click.Group`.
        lazy: Command to its line in the help.
        **options: Of `click.Group`.
    """

    def __init__(self, *arguments: Any, lazy: Mapping[str, str], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all names, without importing any."""
        return sorted({*self._lazy, *super().list_commands(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, imported now if it was not."""
        if cmd_name not in self._lazy:
            return super().get_command(ctx, cmd_name)
        module = importlib.import_module(f"{__name__}.{cmd_name}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, self._lazy.get(name, "")) for name in self.list_commands(ctx)]
            )


@click.group(
    cls=LazyGroup, lazy=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.option("--debug", is_flag=True, help="Show a traceback when something fails.")
@click.version_option(__version__, message="firezone %(version)s")
def _firezone(*, debug: bool) -> None:
    """Zero-trust access to names: Client, Gateway and DNS resource NAT."""
    # main reads --debug itself: an error may come before click has read the options.


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: After the program's name; None takes those of the process.

    Returns:
        The exit code.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    debug = "--debug" in given
    try:
        code = _firezone.main(given, prog_name="firezone", standalone_mode=False)
        # What cannot be written is told here and not when the interpreter ends.
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read has seen enough; the interpreter must not complain about it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:  # noqa: BLE001 - no traceback unless it is asked for
        if debug:
            traceback.print_exc()
        return _tell(error)
    return code if isinstance(code, int) else 0


def _tell(error: Exception) -> int:
    """Write what failed in one line, and what to do next in another."""
    hint: str | None
    if isinstance(error, FirezoneError):
        text, hint, code = str(error), error.hint, error.exit_code
    elif isinstance(error, OSError):
        text, hint, code = str(error), None, FAILED
    else:
        text = f"unexpected {type(error).__name__}: {error}"
        hint, code = "this is a fault in firezone; --debug before the command shows where", FAILED
    click.echo(f"error: {_one_line(text)}", err=True)
    if hint is not None:
        click.echo(f"hint: {_one_line(hint)}", err=True)
    return code


def _one_line(text: str) -> str:
    return " ".join(text.split())
