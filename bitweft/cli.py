"""The command line: one door to the three jobs."""

from __future__ import annotations

import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import wraps
from importlib import import_module
from types import FrameType
from typing import Annotated, Any

import typer

from bitweft import BEGAN, __version__
from hw.errors import InputError

__all__ = ["create_app", "main"]

_COMMANDS = (
    "generate",
    "explain",
    "map",
    "check",
    "pack",
    "run",
    "report",
    "networks",
    "regress",
    "bench",
    "ppa",
    "demo",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"bitweft {__version__}")
        raise typer.Exit


def bitweft(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_show_version, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Design tensor accelerators: one spec becomes Verilog, a proven mapping, and a model of both.

    Exit status: 0 done; 1 it ran and the answer is no; 2 bad input; 130 interrupted;
    143 terminated.
    """


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a command as Ctrl-C does, but with a status of its own."""


def _terminate(number: int, frame: FrameType | None) -> None:
    # A second one must not break off what the first has begun to remove.
    signal.signal(number, signal.SIG_IGN)
    raise _Terminated


def _guarded(command: Callable[..., None]) -> Callable[..., None]:
    """`command`, with bad input, Ctrl-C and SIGTERM turned into one sentence and an exit status."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except InputError as error:
            raise _refusal(str(error), 2) from error
        except _Terminated as error:
            raise _refusal("terminated; unfinished output was removed", 143) from error
        except KeyboardInterrupt as error:
            raise _refusal("interrupted; unfinished output was removed", 130) from error

    return run


def _refusal(message: str, status: int) -> typer.Exit:
    # Hardware that was never elaborated would now be warned of, below the sentence that matters.
    warnings.simplefilter("ignore")
    typer.echo(f"bitweft: error: {message}", err=True)
    return typer.Exit(status)


def create_app(names: Sequence[str] = _COMMANDS) -> typer.Typer:
    """The command line with the named commands of `bitweft.commands`."""
    app = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode="markdown",
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(bitweft)
    for name in names:
        module = import_module(f"bitweft.commands.{name}")
        app.command(name)(_guarded(getattr(module, f"{name}_command")))
    return app


def main() -> None:
    """Runs the command line; ends the process with the status that the help names."""
    signal.signal(signal.SIGTERM, _terminate)
    # A command imports only what it needs: the solver and the plots take a second to load.
    named = [word for word in sys.argv[1:2] if word in _COMMANDS]
    # Whoever has a time limit counts from when the program began to load.
    create_app(named or _COMMANDS)(obj=BEGAN)


if __name__ == "__main__":
    main()
