"""A typer group that imports a verb's module only when the verb is used, so that the list of verbs is quick."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer
import typer.core

from livemef.tools.verbs import Verb

HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}


def verb_group(verbs: Sequence[Verb], hidden: Sequence[Verb] = ()) -> type[typer.core.TyperGroup]:
    """The class of a group with these verbs (for `typer.Typer(cls=...)`); `hidden` ones work but are not listed."""

    class Group(typer.core.TyperGroup):
        def __init__(self, **attributes: Any) -> None:
            super().__init__(**attributes)
            self._verbs = {verb.name: verb for verb in (*verbs, *hidden)}
            self.commands = {verb.name: _listed(verb, verb in hidden) for verb in self._verbs.values()}

        def resolve_command(self, ctx: Any, args: list[str]) -> Any:
            """Name, command and remaining arguments of what was typed."""
            name, command, rest = super().resolve_command(ctx, args)
            if command is not None and name in self._verbs:
                command = _loaded(self._verbs[name])
            return name, command, rest

    return Group


def _listed(verb: Verb, hidden: bool) -> Any:
    """A placeholder for the list of verbs: name and summary. `resolve_command` replaces it."""
    return typer.core.TyperCommand(
        verb.name, callback=None, help=verb.summary, short_help=verb.summary, rich_help_panel=verb.panel, hidden=hidden
    )


def _loaded(verb: Verb) -> Any:
    """The verb's command, imported from its module."""
    loaded = verb.load()
    if isinstance(loaded, typer.Typer):  # a verb with verbs of its own
        return typer.main.get_command(loaded)
    app = typer.Typer(add_completion=False)
    app.command(name=verb.name, short_help=verb.summary, context_settings=HELP_OPTIONS)(loaded)
    return typer.main.get_command(app)
