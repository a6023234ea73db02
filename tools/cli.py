"""`livemef`: finds the verb that was typed and runs it. Help is quick: a verb's file is imported when it is used."""

from __future__ import annotations

import functools
import sys
from typing import Annotated, Any

import typer
import typer.core

from tools.exits import finish
from tools.verbs import VERBS, Verb

HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}


def _light_command(verb: Verb) -> Any:
    """The verb as the list of verbs needs it: a name and a line. It does nothing but become the real one."""
    return typer.core.TyperCommand(
        verb.name, callback=None, help=verb.summary, short_help=verb.summary, rich_help_panel=verb.panel
    )


def _real_command(verb: Verb) -> Any:
    loaded = verb.load()
    if isinstance(loaded, typer.Typer):  # a verb with verbs of its own
        return typer.main.get_command(loaded)
    app = typer.Typer(add_completion=False)
    app.command(name=verb.name, short_help=verb.summary, context_settings=HELP_OPTIONS)(loaded)
    return typer.main.get_command(app)


class _Verbs(typer.core.TyperGroup):
    """A group that imports a verb's file only when that verb was typed."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self._verbs = {verb.name: verb for verb in VERBS}
        self.commands = {verb.name: _light_command(verb) for verb in VERBS}

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Name, command and remaining arguments of what was typed."""
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None and name in self._verbs:
            command = _real_command(self._verbs[name])
        return name, command, rest


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
    """The whole command line as one command object."""
    app = typer.Typer(cls=_Verbs, context_settings=HELP_OPTIONS, add_completion=True)
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
