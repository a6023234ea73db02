"""`livemef`: finds the verb that was typed and runs it. Help is quick: a verb's file is imported when it is used."""

from __future__ import annotations

import functools
import sys
from typing import Annotated, Any

import typer

from livemef.tools.exits import finish
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
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Any camera that can change its exposure becomes a live HDR camera."""


def application() -> Any:
    """The whole command line as one command object. The verbs of `livemef lab` also work without that word."""
    app = typer.Typer(cls=verb_group(VERBS, hidden=LAB_VERBS), context_settings=HELP_OPTIONS, add_completion=True)
    app.callback()(_globals)
    return typer.main.get_command(app)


def _split_debug(arguments: list[str]) -> tuple[list[str], bool]:
    """`--debug` may stand anywhere: who adds it to the line that failed should not have to know the grammar."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    rest = [argument for argument in arguments[:end] if argument != "--debug"] + arguments[end:]
    return rest, len(rest) < len(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the result is the exit code: 0 done, 1 our bug, 2 surroundings, 130 interrupted."""
    rest, debug = _split_debug(list(sys.argv[1:] if arguments is None else arguments))
    rest = rest or ["--help"]
    return finish(functools.partial(application().main, rest, "livemef", standalone_mode=False), debug)


if __name__ == "__main__":
    sys.exit(main())
