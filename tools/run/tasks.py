"""Processes that end by themselves: a still at full resolution, a recording. The live pipeline goes on beside them."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from livemef.capture.cameras.base import CameraInfo, CameraLimits
from livemef.capture.child import Lifeline, run_child
from livemef.capture.errors import CaptureError
from livemef.capture.files.image_io import to_8_bit, write_picture
from livemef.capture.files.recording import RecordingWriter
from livemef.capture.frame import CapturedBracket, Pixels, Verdict
from livemef.engine.errors import EngineError
from livemef.fusion.bracket_fuser import moments_of
from livemef.fusion.cpu.fuser import usable_cores
from livemef.fusion.errors import FusionError
from livemef.fusion.open_fuser import open_fuser
from livemef.fusion.settings import FusionSettings
from livemef.tools.run.bracket_stream import BracketStream

TURN_S = 0.1
BRACKET_LIMIT_S = 30.0
"""Longest wait for a good bracket."""
FUSING_LIMIT_S = 900.0
NICENESS = 10
DISK_PERIOD_S = 1.0
EXPECTED = (CaptureError, FusionError, EngineError)


@dataclass(frozen=True)
class StillJob:
    """source: of the exposures. folder: new, for the files. format: png16, png8 or brackets. settings: of the live
    fusion, with the network at full resolution. model: as in [runtime]. response: as in KnownCamera.
    """

    source: str
    folder: Path
    count: int
    format: str
    settings: FusionSettings
    model: str = "cbm"
    camera: str = "camera"
    response: tuple[tuple[float, ...], ...] | None = None


@dataclass(frozen=True)
class RecordJob:
    """source: of the exposures. folder: new. seconds, brackets: after which it ends, None = not. least_free_bytes: of
    the disk; below that it ends.
    """

    source: str
    folder: Path
    seconds: float | None
    brackets: int | None
    least_free_bytes: int
    camera: str = "camera"
    fps: float = 0.0


def still_main(pipe: Connection, parent_pid: int, job: StillJob) -> None:
    """Entry of a still's process."""
    run_child(pipe, parent_pid, EXPECTED, partial(_still, job))


def record_main(pipe: Connection, parent_pid: int, job: RecordJob) -> None:
    """Entry of a recording's process."""
    run_child(pipe, parent_pid, EXPECTED, partial(_record, job))


def _still(job: StillJob, lifeline: Lifeline) -> Mapping[str, Any]:
    os.nice(NICENESS)
    lifeline.ready()
    lifeline.beat_now(state="taking")
    taken = _good_brackets(job, lifeline)
    if not taken:
        return {"state": "failed", "reason": "ended before the bracket came"}
    lifeline.beat_now(state="fusing")
    with lifeline.opening("fusing", FUSING_LIMIT_S):
        files = _stored(job, taken) if job.format == "brackets" else _fused(job, taken)
    return {"state": "done", "files": files}


def _good_brackets(job: StillJob, lifeline: Lifeline) -> list[CapturedBracket]:
    """Raises CaptureError if they do not come in time."""
    taken: list[CapturedBracket] = []
    deadline = time.monotonic() + BRACKET_LIMIT_S
    with BracketStream(job.source) as brackets:
        while len(taken) < job.count and not lifeline.stopping:
            bracket = brackets.next(TURN_S)
            if bracket is not None and bracket.verdict is Verdict.GOOD:
                taken.append(_owned(bracket))
            if time.monotonic() > deadline:
                raise CaptureError(
                    f"no good bracket within {BRACKET_LIMIT_S:.0f} s: are frames lost, or labels guessed?"
                )
            lifeline.beat(state="taking")
    return taken if len(taken) == job.count else []


def _owned(bracket: CapturedBracket) -> CapturedBracket:
    return replace(bracket, frames=tuple(replace(frame, pixels=frame.pixels.copy()) for frame in bracket.frames))


def _fused(job: StillJob, taken: list[CapturedBracket]) -> list[str]:
    job.folder.mkdir(parents=True, mode=0o700)
    fuser = open_fuser(job.settings, job.model, "auto", max(1, usable_cores() // 2))
    files = []
    try:
        for number, bracket in enumerate(taken, 1):
            exposures = [to_16_bit(pixels) if job.format == "png16" else pixels for pixels in bracket.pixels]
            moments = replace(moments_of(bracket.bracket, job.response), place=None)  # each is a picture of its own
            pixels = fuser.fuse(exposures, moments=moments).pixels
            if job.format == "png8":
                pixels = to_8_bit(pixels)
            files.append(f"still-{number}.png")
            write_picture(job.folder / files[-1], pixels, srgb=True)
    finally:
        fuser.close()
    return files


def to_16_bit(pixels: Pixels) -> Pixels:
    """uint16 of full range, so that fusion's result is not rounded to 8 bits."""
    return pixels if pixels.dtype == np.uint16 else pixels.astype(np.uint16) * 257


def _stored(job: StillJob, taken: list[CapturedBracket]) -> list[str]:
    with RecordingWriter(job.folder, camera_info(job.camera, 0.0, taken[0])) as writer:
        for bracket in taken:
            writer.accept(bracket.bracket, bracket.frames, 60.0)
    return []


def _record(job: RecordJob, lifeline: Lifeline) -> Mapping[str, Any]:
    lifeline.ready()
    writer: RecordingWriter | None = None
    began_s = next_look_s = time.monotonic()
    reason = ""
    with BracketStream(job.source) as brackets:
        try:
            while not lifeline.stopping:
                bracket = brackets.next(TURN_S)
                if bracket is not None:
                    if writer is None:
                        job.folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                        writer = RecordingWriter(job.folder, camera_info(job.camera, job.fps, bracket))
                    writer.accept(bracket.bracket, bracket.frames)
                seconds = time.monotonic() - began_s
                counts = _counts(writer, brackets, seconds)
                lifeline.beat(state="recording", **counts)
                if _is_over(job, counts):
                    break
                if time.monotonic() >= next_look_s:
                    next_look_s += DISK_PERIOD_S
                    if _free_bytes(job.folder) < job.least_free_bytes:
                        reason = f"less than {job.least_free_bytes / 1e9:g} GB are free on the disk"
                        break
        finally:
            if writer is not None:
                with lifeline.opening("writing", FUSING_LIMIT_S):
                    writer.close()
    counts = _counts(writer, brackets, time.monotonic() - began_s)
    if writer is None and not reason:
        reason = "no bracket came"
    return {"state": "failed" if reason else "done", "reason": reason, **counts}


def _counts(writer: RecordingWriter | None, brackets: BracketStream, seconds: float) -> dict[str, Any]:
    accepted, refused = (0, 0) if writer is None else (writer.brackets_accepted, writer.brackets_refused)
    return {"brackets": accepted, "refused": refused, "missed": brackets.missed, "seconds": round(seconds, 1)}


def _is_over(job: RecordJob, counts: Mapping[str, Any]) -> bool:
    enough = job.brackets is not None and counts["brackets"] >= job.brackets
    return enough or (job.seconds is not None and counts["seconds"] >= job.seconds)


def _free_bytes(folder: Path) -> int:
    place = folder
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def camera_info(name: str, fps: float, bracket: CapturedBracket) -> CameraInfo:
    """What a recording's list says of the camera, as far as the published exposures tell."""
    first = bracket.frames[0].pixels
    plan = tuple(exposure for exposure in bracket.exposures if exposure is not None)
    times = [exposure.exposure_us for exposure in plan] or [0.0]
    return CameraInfo(
        uri=name,
        name=name,
        width=first.shape[1],
        height=first.shape[0],
        dtype=first.dtype.name,
        fps=fps,
        limits=CameraLimits(min(times), max(times)),
        plan=plan if len(plan) == len(bracket.frames) else (),
    )
