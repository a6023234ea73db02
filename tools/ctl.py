"""`livemef ctl`: look at a running livemef and change it, from a shell."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core

from livemef.capture.files.image_io import write_picture
from livemef.fusion.stream.control import Control, control, the_only_run
from livemef.fusion.stream.control_doors import ControlError
from livemef.fusion.stream.local_runs import local_runs
from livemef.tools.counted import counted
from livemef.tools.exits import UserError, visible
from livemef.tools.verb_group import HELP_OPTIONS

TOKEN_VARIABLE = "LIVEMEF_CONTROL_TOKEN"


class _AddressAnywhere(typer.core.TyperGroup):
    """`--at ADDRESS` may stand before the command as well."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Takes the words after `livemef ctl`."""
        options = 2 if args[:1] == ["--at"] else int(bool(args) and args[0].startswith("--at="))
        command = args[options:]
        return super().parse_args(ctx, [*command[:1], *args[:options], *command[1:]] if command else [])


application = typer.Typer(
    cls=_AddressAnywhere,
    add_completion=False,
    no_args_is_help=True,
    context_settings=HELP_OPTIONS,
    help="Look at a running livemef and change it.\n\nThe run of this user on this machine needs no token. "
    f"Another one: --at http://HOST:PORT, and its control token in {TOKEN_VARIABLE}; "
    "or --at tcp://HOST:PORT, its control.endpoint, and keys (livemef keys).",
)

AtOption = Annotated[
    str | None,
    typer.Option("--at", metavar="ADDRESS", help="http://, tcp://HOST:PORT or ipc:///PATH; default: the run here."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text.")]


def opened(at: str | None) -> Control:
    """The control of a run. Raises ControlError."""
    return control(at, token=os.environ.get(TOKEN_VARIABLE))


def value_of(text: str) -> Any:
    """A value as typed: a number, else the text; "full" is 0 lines."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def assignments(typed: list[str]) -> dict[str, Any]:
    """KEY=VALUE ... as a dict. Raises UserError."""
    found = {}
    for one in typed:
        key, given, text = one.partition("=")
        if not given or "." not in key:
            raise UserError(f"{one}: write TABLE.KEY=VALUE, for instance fusion.gamma=0.8")
        found[key] = 0 if text == "full" and key.endswith("network_lines") else value_of(text)
    return found


@application.command("get")
def get_command(
    keys: Annotated[list[str] | None, typer.Argument(metavar="[KEY]...", help="Which; default: all.")] = None,
    at: AtOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print settings that can be changed, and their values.

    Example: livemef ctl get fusion.gamma
    """
    with opened(at) as camera:
        values = camera.settings
    for key in keys or ():
        if key not in values:
            raise UserError(f"{key}: no setting that can be changed; livemef ctl get lists them")
    chosen = {key: values[key] for key in keys} if keys else values
    if as_json:
        print(json.dumps(chosen))
    elif keys and len(keys) == 1:
        print(chosen[keys[0]])
    else:
        for key, value in chosen.items():
            print(f"{key} = {json.dumps(value)}")


@application.command("set")
def set_command(
    changes: Annotated[list[str], typer.Argument(metavar="KEY=VALUE...", help="What to change.")], at: AtOption = None
) -> None:
    """Change settings. All of a table change at once, or none.

    Example: livemef ctl set fusion.gamma=0.8 capture.exposures=1ms,16ms
    """
    values = assignments(changes)
    with opened(at) as camera:
        print(f"revision {camera.set(values)}")


@application.command("page")
def page_command(
    at: Annotated[str | None, typer.Option("--at", metavar="ipc:///PATH", help="Of one of several runs here.")] = None,
) -> None:
    """Print the page's address with the control token of a run of this user on this machine. Keep it to yourself.

    Example: livemef ctl page
    """
    run = next((run for run in local_runs() if run.control == at), None) if at else the_only_run()
    if run is None:
        raise UserError(f"--at {at}: no run of this user on this machine; elsewhere run livemef ctl page there, by ssh")
    try:
        page = run.page_with_token()
    except OSError as error:
        raise UserError(f"{run.folder}: {error.strerror}; has the run just ended?") from error
    if page is None:
        raise UserError("this run has no page: it was started with --no-preview")
    print(page)


@application.command("status")
def status_command(at: AtOption = None) -> None:
    """Print how the pipeline does, as JSON.

    Example: livemef ctl status
    """
    with opened(at) as camera:
        print(json.dumps(camera.status, indent=2))


@application.command("events")
def events_command(at: AtOption = None) -> None:
    """Print what happens, a JSON line for each event, until Ctrl-C.

    Example: livemef ctl events
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with opened(at) as camera:
            for event in camera.events():
                print(json.dumps({"event": event.event, **event.data}), flush=True)
    except KeyboardInterrupt:
        return


def _plain(name: str, doc: str, act: Callable[[Control], object]) -> None:
    def command(at: AtOption = None) -> None:
        with opened(at) as camera:
            said = act(camera)
        print(said if isinstance(said, str) else "done")

    command.__doc__ = f"{doc}\n\n    Example: livemef ctl {name}\n"
    application.command(name)(command)


_plain("hold", "Keep the exposures that auto has found.", Control.hold)
_plain("auto", "Let the exposures follow the scene.", Control.auto)
_plain("save", "Write the changed settings to the configuration file of the run.", Control.save)
_plain("revert", "Back to what file, variables and flags say.", Control.revert)


@application.command("restart")
def restart_command(
    process: Annotated[str, typer.Argument(metavar="PROCESS", help="capture, fusion or gate.")], at: AtOption = None
) -> None:
    """Start a process of the pipeline again; the others go on.

    Example: livemef ctl restart fusion
    """
    with opened(at) as camera:
        try:
            camera.restart(process)
        except ControlError as error:
            if error.status != 422:
                raise
            raise UserError(f"{process}: no such process; capture, fusion or gate") from error
    print("done")


@application.command("still")
def still_command(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="Where to: a PNG, TIFF or JPEG file.")],
    at: AtOption = None,
) -> None:
    """Take a still: the next good bracket, fused at full resolution in 16 bits. The live pictures go on.

    Example: livemef ctl still -o still.png
    """
    if output.exists():
        raise UserError(f"-o {output}: is there already; name a new file, nothing is overwritten")
    with opened(at) as camera:
        write_picture(output, camera.still(), srgb=True)
    print(visible(str(output)))


@application.command("record")
def record_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the recording: letters, digits, - and _.")],
    seconds: Annotated[float | None, typer.Option(min=0.1, help="End after so many seconds.")] = None,
    brackets: Annotated[int | None, typer.Option(min=1, help="End after so many brackets.")] = None,
    at: AtOption = None,
) -> None:
    """Begin to record brackets, on the machine of the run, beside the live pictures. `stop` ends it.

    Example: livemef ctl record test-1 --seconds 10
    """
    with opened(at) as camera:
        camera.record(name, seconds, brackets)
        print(camera.ask("GET", "/recording")["folder"])


@application.command("stop")
def stop_command(at: AtOption = None) -> None:
    """End the recording.

    Example: livemef ctl stop
    """
    with opened(at) as camera:
        found = camera.stop_recording()
    print(f"{found['name']}: {counted(found['brackets'], 'bracket')} so far, the rest is being written")
