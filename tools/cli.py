"""`livemef`: parses the command line and runs the verb, whose module is imported only then."""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer

from livemef.tools.exits import UserError, finish
from livemef.tools.logs import DEFAULT_LEVEL, LEVELS, set_up_logging
from livemef.tools.research.verbs import LAB_VERBS
from livemef.tools.verb_group import HELP_OPTIONS, verb_group
from livemef.tools.verbs import VERBS


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"livemef {version('livemef')}")
        raise typer.Exit


def _globals(
    debug: Annotated[bool, typer.Option("--debug", help="Show where in the code a failure happened.")] = False,
    log_level: Annotated[
        str, typer.Option("--log-level", metavar="|".join(LEVELS), help="Print log messages from this level up.")
    ] = DEFAULT_LEVEL,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Any camera that can change its exposure becomes a live HDR camera."""


def application() -> Any:
    """The command line as a click command. The verbs of `livemef lab` also work without that word, but are hidden."""
    app = typer.Typer(cls=verb_group(VERBS, hidden=LAB_VERBS), context_settings=HELP_OPTIONS, add_completion=True)
    app.callback()(_globals)
    return typer.main.get_command(app)


@dataclass
class _Typed:
    """The command line: options that may stand anywhere (people add them to the end), and the rest for typer."""

    rest: list[str] = field(default_factory=list)
    debug: bool = False
    log_level: str = DEFAULT_LEVEL


def _split(arguments: list[str]) -> _Typed:
    typed, waiting = _Typed(), iter(arguments)
    for argument in waiting:
        name, given, value = argument.partition("=")
        if argument == "--":
            typed.rest += [argument, *waiting]
        elif argument == "--debug":
            typed.debug = True
        elif name == "--log-level":
            typed.log_level = value if given else next(waiting, "")
        else:
            typed.rest.append(argument)
    return typed


def _run(typed: _Typed) -> Any:
    if typed.log_level not in LEVELS:
        raise UserError(f"--log-level {typed.log_level}: it must be one of {', '.join(LEVELS)}")
    set_up_logging(typed.log_level)
    return application().main(typed.rest or ["--help"], "livemef", standalone_mode=False)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the result is the exit code: 0 done, 1 our bug, 2 surroundings, 130 interrupted."""
    typed = _split(list(sys.argv[1:] if arguments is None else arguments))
    return finish(functools.partial(_run, typed), typed.debug)


if __name__ == "__main__":
    sys.exit(main())
