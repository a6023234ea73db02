"""`livemef record`: brackets from a camera into a folder, for replay. Every bracket that was accepted is written."""

from __future__ import annotations

import dataclasses
import json
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from livemef.calibration.profile import profile_in_force
from livemef.capture.bracketing.grouping import BracketGrouper, Grouped
from livemef.capture.bracketing.plan import describe
from livemef.capture.cameras.base import Camera, CameraInfo, ask_for_mosaics
from livemef.capture.cameras.registry import open_camera
from livemef.capture.errors import EndOfStream
from livemef.capture.files.dng import DngCamera
from livemef.capture.files.recording import RecordingWriter
from livemef.capture.frame import Bracket, Frame
from livemef.capture.session import CaptureSession, open_session
from livemef.tools.config.schema import CaptureConfig
from livemef.tools.config.sources import load_config, named_camera
from livemef.tools.config.text import print_config
from livemef.tools.counted import counted
from livemef.tools.exits import DONE, SURROUNDINGS, UserError, printable, visible
from livemef.tools.options import (
    ConfigOption,
    ExposuresOption,
    GainOption,
    JsonOption,
    NamedCameraOption,
    PrintConfigOption,
    ProfileOption,
)
from livemef.tools.progress import progress_bar
from livemef.tools.raw_camera import dng_camera

PATIENCE_S = 60.0
"""How long a source that waits for us is made to wait for the disk."""
FIRST_BRACKET_LIMIT_S = 60.0
"""Measuring an unknown delay takes seconds; a camera that has given no bracket after this will give none."""
SETTLING_FRAMES = 90
"""Automatic exposures have settled within so many frames, or are taken as they are."""


class _Ending:
    """Whether Ctrl-C or SIGTERM asked for the end: the recording is then finished, not cut off."""

    def __init__(self) -> None:
        self.asked = False

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle both signals within the block, and give them back afterwards."""
        before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@dataclass
class Outcome:
    """The result of a recording.

    wanted: brackets that were asked for. source: the camera's URI. refused: brackets that came faster than the disk
    took them. captured, dropped, transitional: frames. exposures: those that the frames had, dark to bright, in words.
    """

    folder: str
    wanted: int
    source: str = ""
    brackets: int = 0
    refused: int = 0
    captured: int = 0
    dropped: int = 0
    transitional: int = 0
    seconds: float = 0.0
    ended_by: str = "done"
    exposures: tuple[str, ...] = ()


def _refuse_unusable(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise UserError(f"-o {folder}: is a file; name a new folder")
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"-o {folder}: the folder is not empty; name a new one, nothing is overwritten")
    parent = folder.resolve().parent
    if not parent.is_dir():
        raise UserError(f"-o {folder}: there is no folder {parent}; make it first")


class _Shelf:
    """The recording, made when the first bracket comes, so that a camera that gives none leaves no folder behind.

    Only then are the exposures in use known: automatic ones settle first.
    """

    def __init__(self, session: CaptureSession, folder: Path, dng: DngCamera | None) -> None:
        self._folder = folder
        self._session = session
        self._dng = dng
        # A source that waits for us has time; a live camera does not, and what the disk cannot take is counted.
        self._patience_s = 0.0 if session.info.paced == "realtime" else PATIENCE_S
        self._writer: RecordingWriter | None = None

    def put(self, grouped: Grouped[Frame], outcome: Outcome) -> None:
        """Store the bracket, if there is one."""
        if grouped.bracket is None:
            return
        if self._writer is None:
            described = self._described(grouped.bracket, outcome)
            self._writer = RecordingWriter(self._folder, described, dng=self._dng)
        self._writer.accept(grouped.bracket, grouped.payloads, self._patience_s)
        outcome.brackets, outcome.refused = self._writer.brackets_accepted, self._writer.brackets_refused

    def _described(self, bracket: Bracket, outcome: Outcome) -> CameraInfo:
        """The camera with the exposures that the bracket's frames have, where they are known, as its plan."""
        taken = [record.exposure for record in bracket.records]
        plan = tuple(exposure for exposure in taken if exposure is not None)
        plan = plan if len(plan) == len(taken) else self._session.plan
        outcome.exposures = tuple(describe(exposure) for exposure in plan)
        return dataclasses.replace(self._session.info, plan=plan)

    def close(self) -> None:
        """Write what was accepted."""
        if self._writer is not None:
            self._writer.close()


def _record(session: CaptureSession, shelf: _Shelf, settings: CaptureConfig, outcome: Outcome) -> Iterator[None]:
    """Capture until enough brackets are accepted; yields after each frame."""
    grouper = BracketGrouper[Frame](settings.bracket_mode)
    deadline = time.monotonic() + FIRST_BRACKET_LIMIT_S
    while outcome.brackets < outcome.wanted:
        frame = session.next_frame(settings.stall_timeout_s)
        if frame is not None:
            owned = dataclasses.replace(frame, pixels=frame.pixels.copy())  # a camera may use its buffer again
            shelf.put(grouper.push(frame.record, owned), outcome)
        if not outcome.brackets and time.monotonic() > deadline:
            reason = session.status.value
            raise UserError(f"{session.info.uri}: no bracket within {FIRST_BRACKET_LIMIT_S:.0f} s: {reason}")
        yield


def _note_counters(session: CaptureSession, outcome: Outcome) -> None:
    counters = session.counters
    outcome.captured, outcome.dropped, outcome.transitional = counters.received, counters.dropped, counters.transitional


def _dng_camera(camera: Camera, profile: str) -> DngCamera:
    """Let the camera deliver its raw frames; what developers of DNG files must know. Raises UserError."""
    if not ask_for_mosaics(camera):
        advice = ": add ?stream=raw" if camera.info.uri.startswith(("csi:", "libcamera:")) else ""
        raise UserError(f"{camera.info.uri}: gives no raw frames that --dng could store{advice}")
    return dng_camera(camera.info, profile)


def record(camera: Camera, settings: CaptureConfig, folder: Path, brackets: int, dng: bool = False) -> Outcome:
    """Record `brackets` brackets from an open camera into a new folder. Ctrl-C or the source's end finish it early.

    dng: raw frames as well, in DNG files.
    Every bracket counted in the outcome is on disk. Raises CaptureError or UserError.
    """
    known, _ = profile_in_force(settings.profile)
    session = open_session(camera, settings.exposures, settings.gain, settings.mains_hz, known)
    raw = _dng_camera(camera, settings.profile) if dng else None
    outcome, ending, started = Outcome(printable(str(folder)), brackets, camera.info.uri), _Ending(), time.monotonic()
    with ending.listening(), closing(_Shelf(session, folder, raw)) as shelf, progress_bar() as progress:
        bar = progress.add_task("recording", total=brackets)
        camera.start()
        try:
            session.settle(settings.stall_timeout_s, SETTLING_FRAMES)
            for _ in _record(session, shelf, settings, outcome):
                progress.update(bar, completed=outcome.brackets)
                if ending.asked:
                    outcome.ended_by = "interrupted"
                    break
        except EndOfStream:
            outcome.ended_by = "end of source"
        finally:
            _note_counters(session, outcome)
    outcome.seconds = round(time.monotonic() - started, 3)
    return outcome


def _describe(outcome: Outcome) -> str:
    exposures = ", ".join(outcome.exposures)
    brackets = f"{counted(outcome.brackets, 'bracket')} of {exposures}"
    text = f"{visible(outcome.folder)}: {brackets} in {outcome.seconds:.1f} s ({outcome.ended_by})"
    losses = {"refused": outcome.refused, "dropped": outcome.dropped, "transitional": outcome.transitional}
    text += "".join(f", {count} {name}" for name, count in losses.items() if count)
    lost = outcome.source.startswith("file://") and "pace=stepped" not in outcome.source and outcome.dropped
    return text + ("; with pace=stepped a replay loses nothing" if lost else "")


def record_command(
    camera: NamedCameraOption = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The folder to make.")] = None,
    brackets: Annotated[int, typer.Option("--brackets", min=1, help="How many brackets.")] = 100,
    dng: Annotated[
        bool, typer.Option("--dng", help="Each frame's raw values as DNG too, of cameras that give them.")
    ] = False,
    exposures: ExposuresOption = None,
    gain: GainOption = None,
    profile: ProfileOption = None,
    config: ConfigOption = None,
    show_config: PrintConfigOption = False,
    json_lines: JsonOption = False,
) -> int:
    """Record brackets from a camera into a new folder; livemef run --camera file://FOLDER replays it.

    Ends with 2 if the source ended before all brackets were there. Ctrl-C finishes the recording early.

    Example: livemef record --camera csi://0 -o recording --brackets 300
    """
    flags = {
        "capture.camera": camera,
        "capture.exposures": exposures,
        "capture.gain": gain,
        "capture.profile": profile,
    }
    loaded = load_config(config, flags)
    if show_config:
        print_config(loaded)
        return DONE
    if output is None:
        raise UserError("where to? give -o FOLDER")
    _refuse_unusable(output)
    settings = loaded.config.capture
    with closing(open_camera(named_camera(loaded))) as opened:
        outcome = record(opened, settings, output, brackets, dng)
    print(json.dumps(dataclasses.asdict(outcome)) if json_lines else _describe(outcome))
    return SURROUNDINGS if outcome.ended_by == "end of source" else DONE
