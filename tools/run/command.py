"""`livemef run`: capture, fusion and preview as watched processes, one status line, one orderly end."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from types import FrameType
from typing import IO, Annotated, Any, cast

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from livemef.capture.bracketing.plan import automatic_exposures
from livemef.fusion.stream.local_runs import TOKEN
from livemef.tools import options
from livemef.tools.config.schema import CaptureConfig, Config
from livemef.tools.config.sources import file_in_force, load_config
from livemef.tools.config.text import print_config
from livemef.tools.exits import UserError
from livemef.tools.run.output import OutputQueue
from livemef.tools.run.pipeline import Pipeline, Place
from livemef.tools.run.run_files import page_address, write_run_files
from livemef.tools.run.runtime_folder import runtime_folder
from livemef.tools.run.saving import Saver
from livemef.tools.run.sd_notify import sd_notify
from livemef.tools.run.status import replay_loss, status, status_line
from livemef.tools.run.supervisor import StartFailed

TURN_S = 0.25
REPORT_PERIOD_S = 1.0


ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Ending:
    """Set by Ctrl-C, SIGTERM, or the loss of the terminal (SIGHUP, unless nohup has switched that off)."""

    def __init__(self) -> None:
        self.asked = False
        self._before = {number: signal.getsignal(number) for number in ENDING_SIGNALS}
        for number, handler in self._before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True

    def restore(self) -> None:
        """From here on the signals do what they did before."""
        for number, handler in self._before.items():
            signal.signal(number, handler or signal.SIG_DFL)


@contextmanager
def _display(as_json: bool, output: OutputQueue, console: Console) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A function that shows a status: a JSON line, a line refreshed in place, or plain lines where no terminal is."""
    if as_json:
        yield lambda now: print(json.dumps(now), file=output)
        return
    if not console.is_terminal:
        yield lambda now: console.out(status_line(now), highlight=False)
        return
    with Live(Text(""), console=console, auto_refresh=False, transient=False) as live:
        yield lambda now: live.update(Text(status_line(now), no_wrap=True, overflow="ellipsis"), refresh=True)


def run_pipeline(
    config: Config, frames: int | None, as_json: bool, output: OutputQueue, errors: OutputQueue, saver: Saver
) -> None:
    """Run until `frames` are published, the source ends, or somebody asks for the end. The last status ends the output.

    output: takes the JSON lines; errors: takes the lines for people. Raises UserError if a process cannot start because
    of the surroundings.
    """
    ending = _Ending()
    console = Console(file=cast(IO[str], errors))
    with runtime_folder() as folder, _display(as_json, output, console) as show:
        place = Place(folder)
        write_run_files(place, config)
        pipeline = Pipeline(config, place, frames, saver)
        try:
            pipeline.supervisor.start()
            _loop(pipeline, ending, show, place, as_json)
        except StartFailed as error:
            if error.surroundings:
                raise UserError(str(error)) from error
            raise
        finally:
            sd_notify("STOPPING=1")
            pipeline.stop()
            ending.restore()
    last = status(pipeline.supervisor.children)
    print(json.dumps(last) if as_json else status_line(last), file=output if as_json else errors)
    if lost := replay_loss(pipeline.state.config.camera_in_use.camera, last):
        print(f"livemef: {lost}", file=errors)


def _loop(
    pipeline: Pipeline, ending: _Ending, show: Callable[[dict[str, Any]], None], place: Place, as_json: bool
) -> None:
    children = pipeline.supervisor.children
    fusion = children["fusion"]
    told_ready, next_report = False, time.monotonic() + REPORT_PERIOD_S
    while not ending.asked and not (fusion.finished and fusion.process is None):
        pipeline.step(TURN_S)
        healthy = all(child.ready for child in children.values())
        if healthy and not told_ready:
            told_ready = True
            sd_notify("READY=1")
            what = _announcement(pipeline, place, children["capture"].described, fusion.described["device"])
            print(f"livemef: {what}", file=sys.stderr)
        if time.monotonic() >= next_report:
            next_report += REPORT_PERIOD_S
            if told_ready or as_json:
                show(status(children))
            sd_notify("WATCHDOG=1")


def _exposures_in_words(config: CaptureConfig, camera: Mapping[str, Any]) -> str:
    """The exposures at the start; automatic ones go on from there."""
    most = automatic_exposures(config.exposures) if camera["can_request"] else None
    if most is None:
        return f"exposures {camera['plan']}"
    return f"automatic exposures{f' (up to {most})' if most > 2 else ''}, at first {camera['plan']}"


def _announcement(pipeline: Pipeline, place: Place, camera: Mapping[str, Any], device: str) -> str:
    config = pipeline.state.config
    lines = [
        f"{config.camera_in_use.camera} {camera['size']} at {camera['fps']:g} frames/s, "
        + _exposures_in_words(config.capture, camera),
        *pipeline.corrections,
        f"fusing on {device}, publishing on {pipeline.endpoint}",
    ]
    if config.control.endpoint:
        lines.append(f"control at {config.control.endpoint} for allowed keys")
    if config.preview.enabled:
        lines.append(f"page at {page_in_words(config, place, sys.stderr.isatty())}")
    return "; ".join(lines) + "; Ctrl-C ends it"


def page_in_words(config: Config, place: Place, to_a_person: bool) -> str:
    """The page's address. The control token is shown to a person only: other outputs are kept, in journals for example,
    and read by others.
    """
    page = page_address(config)
    if to_a_person:
        return f"{page}?token={place.control_token} (without the token it only shows)"
    file = place.folder / TOKEN
    return f"{page} (it only shows; livemef ctl page prints the address that controls, whose token is in {file})"


def preview_flags(preview: str | None, no_preview: bool) -> dict[str, Any]:
    """Settings for `--preview HOST:PORT` and `--no-preview`. Raises UserError."""
    if no_preview and preview:
        raise UserError("--preview and --no-preview exclude each other")
    if no_preview:
        return {"preview.enabled": False}
    if preview is None:
        return {}
    host, _, port = preview.rpartition(":")
    if not host or not port.isdigit():
        example = f"127.0.0.1:{preview.lstrip(':')}" if preview.lstrip(":").isdigit() else "127.0.0.1:8080"
        raise UserError(f"--preview {preview}: expected HOST:PORT, for instance {example}")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise UserError(f"--preview {preview}: an IPv6 address stands in brackets, for instance [::1]:8080")
    return {"preview.enabled": True, "preview.host": host.strip("[]"), "preview.port": int(port)}


def run_command(
    camera: options.CameraOption = None,
    publish: Annotated[
        str | None,
        options.setting("publish.endpoint", "--publish", "ENDPOINT", "Where fused frames go: pub+bind:tcp://..."),
    ] = None,
    frames: Annotated[int | None, typer.Option("--frames", min=1, help="End after publishing so many.")] = None,
    preview: Annotated[
        str | None,
        options.setting("preview.host", "--preview", "HOST:PORT", "Where the page is.", options.default_page()),
    ] = None,
    no_preview: Annotated[bool, typer.Option("--no-preview", help="Serve no page, and no control.")] = False,
    control: Annotated[
        str | None,
        options.setting("control.endpoint", "--control", "ENDPOINT", "Where allowed keys may control: tcp://..."),
    ] = None,
    exposures: options.ExposuresOption = None,
    gain: options.GainOption = None,
    profile: options.ProfileOption = None,
    no_correct: options.NoCorrectOption = False,
    codec: Annotated[
        str | None, options.setting("publish.codec", "--codec", "raw|jpeg|png", "Form of the pixels.")
    ] = None,
    wire: Annotated[
        str | None, options.setting("publish.wire", "--wire", "livemef|imagezmq", "Message format.")
    ] = None,
    frame_id: Annotated[
        str | None, options.setting("publish.frame_id", "--frame-id", "NAME", "The camera's name in the headers.")
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Publish off this machine without keys: everybody there may watch.")
    ] = False,
    device: options.DeviceOption = None,
    threads: options.ThreadsOption = None,
    model: options.ModelOption = None,
    gamma: options.GammaOption = None,
    chroma: options.ChromaOption = None,
    motion: options.MotionOption = None,
    network_lines: options.NetworkLinesOption = None,
    config: options.ConfigOption = None,
    show_config: options.PrintConfigOption = False,
    as_json: options.JsonOption = False,
) -> int:
    """Fuse a camera's alternating exposures live, publish every fused frame, and show it on a page.

    Example: livemef run --camera v4l2:///dev/video0 --exposures 1ms,16ms --publish pub+bind:tcp://127.0.0.1:5556
    """
    flags = {
        "capture.camera": camera,
        "capture.exposures": exposures,
        "capture.gain": gain,
        "capture.profile": profile,
        "capture.correct": False if no_correct else None,
        "publish.endpoint": publish,
        "publish.codec": codec,
        "publish.wire": wire,
        "publish.frame_id": frame_id,
        "publish.insecure": True if insecure else None,
        "control.endpoint": control,
        "runtime.device": device,
        "runtime.threads": threads,
        "runtime.model": model,
        "fusion.gamma": gamma,
        "fusion.chroma": chroma,
        "fusion.motion": motion,
        "fusion.network_lines": network_lines,
    } | preview_flags(preview, no_preview)
    file = Path(config) if config else None
    loaded = load_config(file, flags)
    if show_config:
        print_config(loaded)
        return 0
    if loaded.config.control.endpoint and not loaded.config.preview.enabled:
        raise UserError("control.endpoint is served by the page's process: leave out --no-preview (preview.enabled)")
    saver = Saver(lambda: load_config(file, flags).config, file_in_force(file), loaded.origins)
    output, errors = OutputQueue(1), OutputQueue(2)
    try:
        with redirect_stderr(cast(IO[str], errors)):  # for the log as well
            run_pipeline(loaded.config, frames, as_json, output, errors, saver)
    finally:
        output.finish()
        errors.finish()
    return 0
