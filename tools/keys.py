"""`livemef keys`: this machine's key, whose keys may receive from it or control it, and whose it believes."""

from __future__ import annotations

import socket
from typing import Annotated

import typer

from livemef.fusion.stream.keys import KeyFolder, OwnKey, encode_key, parse_public
from livemef.tools.exits import DONE, UserError
from livemef.tools.verb_group import HELP_OPTIONS

application = typer.Typer(add_completion=False, context_settings=HELP_OPTIONS)
KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="A line 'livemef-key ... NAME', in quotes.")]


@application.callback()
def _keys() -> None:
    """Keys for publishing off this machine; docs/security.md shows it step by step."""


@application.command("new")
def new_command(
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="The key's name; by default the machine's.")] = "",
) -> int:
    """Make this machine's key, once. A publisher needs one, and so does each machine that receives from it.

    Example: livemef keys new --name laptop
    """
    folder = KeyFolder()
    own = folder.create(name or socket.gethostname().split(".")[0] or "livemef")
    print(f"{folder.folder}: keys made. This machine's public key:\n{own.public}")
    return DONE


@application.command("show")
def show_command() -> int:
    """Print this machine's public key.

    Example: livemef keys show
    """
    print(_own().public)
    return DONE


@application.command("allow")
def allow_command(
    key: KeyArgument,
    may_control: Annotated[
        bool, typer.Option("--may-control", help="It may also change settings, over [control] endpoint.")
    ] = False,
) -> int:
    """Let a machine receive what is published here, and no more unless said. Takes effect at once.

    Example: livemef keys allow 'livemef-key 43-characters laptop' --may-control
    """
    folder, public = KeyFolder(), parse_public(key)
    folder.allow(public, may_control)
    what = "receive and control" if may_control else "receive"
    print(f"{folder.folder / 'authorized_keys'}: {public.name} may {what}")
    return DONE


@application.command("forbid")
def forbid_command(
    name: Annotated[str, typer.Argument(metavar="NAME|KEY", help="A key's name, or its 43 characters.")],
) -> int:
    """Take a key back. It controls nothing from then on; who receives goes on until livemef run is started again.

    Example: livemef keys forbid laptop
    """
    folder = KeyFolder()
    if not folder.forbid(name):
        known = ", ".join(key.name for key in folder.allowed()) or "none"
        raise UserError(f"{name}: no key of this name is allowed; there are {known}")
    print(f"{folder.folder / 'authorized_keys'}: {name} taken back; restart livemef run to end open connections")
    return DONE


@application.command("trust")
def trust_command(
    host: Annotated[str, typer.Argument(metavar="HOST[:PORT]", help="As it stands in the endpoint.")], key: KeyArgument
) -> int:
    """Believe that the publisher at this host has this key: connections to it are encrypted from then on.

    Example: livemef keys trust camera.local 'livemef-key 43-characters camera'
    """
    folder, public = KeyFolder(), parse_public(key)
    folder.trust(host, public)
    print(f"{folder.folder / 'known_hosts'}: {host} is {public.name}")
    return DONE


@application.command("list")
def list_command() -> int:
    """List the machines that may receive, and which of them may control.

    Example: livemef keys list
    """
    for grant in KeyFolder().grants():
        print(f"{grant.key.name} {encode_key(grant.key.key)}{' may control' if grant.may_control else ''}")
    return DONE


@application.command("invite")
def invite_command(
    host: Annotated[
        str, typer.Option("--host", metavar="HOST", help="How others reach this machine; by default its name.")
    ] = "",
) -> int:
    """Print the lines to be typed on another machine so that it can receive from this one.

    Example: livemef keys invite --host camera.local
    """
    own = _own()
    print("On the other machine:")
    print("    livemef keys new")
    print(f"    livemef keys trust {host or socket.gethostname()} '{own.public}'")
    print("Then here, with what its `livemef keys new` printed:")
    print("    livemef keys allow 'livemef-key ...'")
    return DONE


def _own() -> OwnKey:
    own = KeyFolder().own()
    if own is None:
        raise UserError("this machine has no key yet: livemef keys new")
    return own
