"""`livemef fuse CLIP`: footage that alternates its exposures becomes fused footage, with the same pixels as `run`."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from livemef.capture.cameras.base import CameraInfo
from livemef.capture.files.image_io import PICTURE_SUFFIXES, to_8_bit, write_picture
from livemef.capture.files.video import VideoWriter, open_footage
from livemef.capture.frame import Pixels
from livemef.fusion.bracket_fuser import moments_of
from livemef.fusion.camera_settings import settings_for
from livemef.fusion.correction import CameraCorrection, srgb_response
from livemef.fusion.fuser import Fuser
from livemef.fusion.open_fuser import open_fuser
from livemef.fusion.picture_correction import BracketCorrection
from livemef.tools.config.schema import Config
from livemef.tools.counted import counted
from livemef.tools.exits import DONE, UserError
from livemef.tools.footage import FootageSource, footage_uri
from livemef.tools.progress import progress_bar, progress_printer

VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".mkv", ".avi"})
"""Of the videos that can be written; what can be read is whatever OpenCV reads."""


@dataclass(frozen=True)
class FootageOptions:
    """How the footage alternates, as typed: see livemef.capture.cameras.replay_footage. None = not stated."""

    exposures: int | None = None
    ev: str | None = None
    order: str | None = None
    fps: float | None = None

    @property
    def given(self) -> bool:
        """Whether any was typed."""
        return self != FootageOptions()


class Sink(Protocol):
    """Takes fused pictures in order."""

    def write(self, pixels: Pixels) -> None:
        """Append a picture."""
        ...

    def close(self) -> None:
        """All are written."""
        ...

    def discard(self) -> None:
        """Writing has failed or was interrupted."""
        ...


class PictureFolder:
    """Numbered pictures, 000000 on; what was written stays when it is interrupted."""

    def __init__(self, folder: Path, suffix: str) -> None:
        self._folder, self._suffix, self._count = folder, suffix, 0

    def write(self, pixels: Pixels) -> None:
        """See Sink."""
        write_picture(self._folder / f"{self._count:06}{self._suffix}", pixels)
        self._count += 1

    def close(self) -> None:
        """See Sink."""

    def discard(self) -> None:
        """See Sink: whole pictures are kept."""


def is_footage(inputs: list[Path], options: FootageOptions) -> bool:
    """Whether these arguments of `livemef fuse` name footage: a file that is no picture, or said so by an option."""
    if len(inputs) != 1:
        if options.given:
            raise UserError("--exposures, --ev, --order and --fps are for footage: give one video or folder of frames")
        return False
    return options.given or (inputs[0].is_file() and inputs[0].suffix.lower() not in PICTURE_SUFFIXES)


def fuse_video(
    config: Config,
    path: Path,
    options: FootageOptions,
    output: Path,
    suffix: str,
    json_lines: bool,
    correction: CameraCorrection | None = None,
) -> int:
    """Fuse footage into a video file or a folder of pictures. correction: by the camera's profile, before.

    Raises UserError, CaptureError, FusionError.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file or folder")
    _refuse_output(path, output)
    with FootageSource(footage_uri(path, options.exposures, options.ev, options.order, options.fps)) as source:
        runtime = config.runtime
        settings = settings_for(config.fusion, None if correction is None else srgb_response())
        fuser = open_fuser(settings, runtime.model, runtime.device, runtime.threads or None, progress_printer())
        sink = _sink(output, suffix, source.info)
        try:
            summary = _fuse_all(fuser, source, sink, open_footage(path).length, correction)
        except BaseException:
            sink.discard()
            raise
        if not summary["fused"]:
            sink.discard()
            raise UserError(f"{path}: is shorter than a cycle of {source.exposures} exposures: nothing to fuse")
        sink.close()
    summary = {"footage": str(path), "output": str(output)} | summary
    print(json.dumps(summary) if json_lines else _described(summary))
    return DONE


def _refuse_output(path: Path, output: Path) -> None:
    suffix = output.suffix.lower()
    if output.is_dir():
        if any(output.iterdir()):
            raise UserError(f"-o {output}: is not empty: name a new folder, lest old and new frames mix")
    elif output.exists() and suffix not in VIDEO_SUFFIXES:
        raise UserError(f"-o {output}: is a file; name a folder, or a video ({' '.join(sorted(VIDEO_SUFFIXES))})")
    elif suffix in PICTURE_SUFFIXES:
        raise UserError(f"-o {output}: one picture cannot hold footage; name a folder or a video")
    if output.exists() and output.samefile(path):
        raise UserError(f"-o {output}: is the footage that is read; choose another name")
    if suffix in VIDEO_SUFFIXES and not output.parent.is_dir():
        raise UserError(f"-o {output}: there is no folder {output.parent}; make it first")


def _sink(output: Path, suffix: str, info: CameraInfo) -> Sink:
    if output.suffix.lower() in VIDEO_SUFFIXES and not output.is_dir():
        return VideoWriter(output, (info.width, info.height), info.fps)
    output.mkdir(parents=True, exist_ok=True)
    return PictureFolder(output, suffix)


def _fuse_all(
    fuser: Fuser, source: FootageSource, sink: Sink, frames: int | None, correction: CameraCorrection | None
) -> dict[str, Any]:
    fused, share, started = 0, 0.0, time.perf_counter()
    corrected = None if correction is None else BracketCorrection(correction)
    response = None if correction is None else srgb_response()
    with progress_bar() as progress:
        bar = progress.add_task("fusing", total=frames)
        progress.advance(bar, source.exposures - 1)
        for bracket in source.brackets():
            pixels = bracket.pixels if corrected is None else corrected.exposures(bracket.bracket, bracket.pixels)
            result = fuser.fuse(pixels, moments=moments_of(bracket.bracket, response))
            sink.write(to_8_bit(result.pixels) if isinstance(sink, VideoWriter) else result.pixels)
            fused += 1
            share += 0.0 if result.motion is None else result.motion.share
            progress.advance(bar)
    seconds = time.perf_counter() - started
    return {
        "frames": source.read,
        "announced": frames,
        "fused": fused,
        "exposures": source.exposures,
        "size": [source.info.width, source.info.height],
        "fps": round(source.info.fps, 4),
        "motion_share": round(share / max(fused, 1), 4),
        "ms_per_frame": round(1e3 * seconds / max(fused, 1), 2),
    }


def _described(summary: dict[str, Any]) -> str:
    width, height = summary["size"]
    line = (
        f"{summary['output']}: {counted(summary['fused'], 'frame')} {width}x{height} "
        f"of {summary['exposures']} exposures each, {summary['ms_per_frame']:.1f} ms a frame"
    )
    announced, read = summary["announced"], summary["frames"]
    if announced is not None and read < announced - max(1, announced // 100):
        line += f"; the file announces {counted(announced, 'frame')}, {read} could be read"
    unfused = read - (summary["exposures"] - 1) - summary["fused"]
    if unfused > 0:
        line += f"; {counted(unfused, 'frame')} not fused: no frame of another exposure is near"
    return line
