"""Footage on disk, frame by frame: a video file, or a folder of numbered pictures."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from livemef.capture.errors import CaptureError
from livemef.capture.files.bracket_folder import pictures_in
from livemef.capture.files.image_io import read_picture
from livemef.capture.files.opencv_log import quiet_opencv
from livemef.capture.files.video_av import AvVideoFile
from livemef.capture.frame import Pixels

LOG = logging.getLogger("livemef.capture.files")

DEFAULT_FPS = 30.0
MORE = "With the extra 'video' (pip install 'livemef[video]') PyAV reads it, if it is whole"
CODECS = {".mkv": "FFV1", ".avi": "MJPG"}
PLAIN_CODECS = ("FFV1", "MJPG", "FMP4")
"""What is written here: progressive, BT.601. OpenCV does not say of other footage whether it is so."""


class Footage(Protocol):
    """Frames in the order in which they were taken, all of one size (BGR, height x width x 3) and dtype.

    length: number of frames; of a video file what its container states, which the file need not hold. fps: frames per
    second, None where the files do not state it.
    """

    path: Path
    length: int | None
    fps: float | None

    def frame(self, number: int) -> Pixels | None:
        """Frame `number`, from 0; None past the end. Raises CaptureError for one that cannot be read."""
        ...

    def name(self, number: int) -> str:
        """Frame `number` for people: with its file's name where it has a file of its own."""
        ...

    def close(self) -> None:
        """Free the file."""
        ...


class VideoFile:
    """A video file, decoded to 8-bit BGR by OpenCV where PyAV is absent. Frames are read in order; going back decodes
    from the start. OpenCV 5 returns no picture of interlaced footage, and does not say so; before it, every matrix is
    taken for BT.601.
    """

    def __init__(self, path: Path) -> None:
        """Open the file. Raises CaptureError if it is no video."""
        self.path = path
        self._capture, self._next = self._opened(), 0
        self._last: Pixels | None = None
        count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        rate = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.length: int | None = count if count > 0 else None
        self.fps: float | None = rate if 0.01 <= rate <= 1000 else None
        if self.frame(0) is None:
            self.close()
            raise CaptureError(f"video {path}: holds no frame that OpenCV can decode. {MORE}")
        codec = int(self._capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little").decode("latin-1")
        if codec.upper() not in PLAIN_CODECS:
            LOG.warning(
                "%s: is read by OpenCV, which gives black or wrong frames where footage is interlaced, wrong colours "
                "where it is BT.2020; with the extra 'video' (pip install 'livemef[video]') both are right",
                path.name,
            )

    def frame(self, number: int) -> Pixels | None:
        """See Footage."""
        if number == self._next - 1:
            return self._last
        if number < self._next:
            self._capture.release()
            self._capture, self._next = self._opened(), 0
        while self._next < number:
            if not self._capture.grab():
                return None
            self._next += 1
        read, pixels = self._capture.read()
        if not read:
            return None
        self._next, self._last = number + 1, np.asarray(pixels)
        return self._last

    def name(self, number: int) -> str:
        """See Footage."""
        return f"frame {number}"

    def close(self) -> None:
        """See Footage."""
        self._capture.release()

    def _opened(self) -> cv2.VideoCapture:
        with _quiet_ffmpeg():
            try:
                capture = cv2.VideoCapture(str(self.path), cv2.CAP_FFMPEG)
            except cv2.error:
                capture = None
        if capture is None or not capture.isOpened():
            raise CaptureError(f"video {self.path}: not a whole video file that OpenCV can read. {MORE}")
        return capture


class NumberedPictures:
    """A folder of pictures in the order of the numbers in their names: frame2.png before frame10.png."""

    def __init__(self, path: Path) -> None:
        """List the folder. Raises CaptureError if it cannot be read or holds no pictures."""
        self.path = path
        self._files = sorted(pictures_in(path), key=_natural_key)
        if not self._files:
            raise CaptureError(f"folder {path}: holds no pictures")
        self.length: int | None = len(self._files)
        self.fps: float | None = None

    def frame(self, number: int) -> Pixels | None:
        """See Footage."""
        return read_picture(self._files[number]) if number < len(self._files) else None

    def name(self, number: int) -> str:
        """See Footage."""
        return f"frame {number} ({self._files[number].name})"

    def close(self) -> None:
        """See Footage: nothing is held."""


def open_footage(path: Path) -> Footage:
    """A video file (by PyAV where it is installed, else by OpenCV) or a folder of numbered pictures.

    Raises CaptureError if it is neither.
    """
    if path.is_dir():
        return NumberedPictures(path)
    if not path.is_file():
        raise CaptureError(f"video {path}: {'is not a file' if path.exists() else 'there is no such file'}")
    _refuse_playlist(path)
    try:
        return AvVideoFile(path)
    except ImportError:
        return VideoFile(path)


def _refuse_playlist(path: Path) -> None:
    """FFmpeg opens whatever files and addresses a playlist names."""
    with path.open("rb") as file:
        start = file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"#extm3u", b"ffconcat", b"<?xml", b"<mpd", b"<smooth")):
        raise CaptureError(f"video {path}: is a playlist, which names other files: name the video itself")


def _natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Sorts digits by their value, and the rest as text."""
    parts = re.split(r"(\d+)", path.name)
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts if part]


class VideoWriter:
    """Writes pictures (BGR uint8, one size) as a video file: .mkv lossless (FFV1), .avi Motion JPEG, else MPEG-4.

    The file has a temporary name until `close`; a `discard` leaves nothing behind.
    """

    def __init__(self, path: Path, size: tuple[int, int], fps: float) -> None:
        """size: width, height. Raises CaptureError if OpenCV cannot write such a file there."""
        self.path = path
        self._partial = path.with_name(f".{path.stem}.partial{path.suffix}")
        code = cv2.VideoWriter.fourcc(*CODECS.get(path.suffix.lower(), "mp4v"))
        with _quiet_ffmpeg():
            try:
                self._writer = cv2.VideoWriter(str(self._partial), cv2.CAP_FFMPEG, code, fps, size)
            except cv2.error:
                raise CaptureError(f"cannot write {path}: OpenCV refuses a video of {size[0]}x{size[1]}") from None
        if not self._writer.isOpened():
            self.discard()
            raise CaptureError(f"cannot write {path}: OpenCV cannot write a video of this kind there")
        self._written = 0

    def write(self, pixels: Pixels) -> None:
        """Append a picture."""
        self._writer.write(pixels)
        self._written += 1

    def close(self) -> None:
        """Finish the file under its own name. Raises CaptureError if that fails, and leaves nothing behind then.

        The file is read back: OpenCV does not say that a disk was full.
        """
        self._writer.release()
        if (readable := self._frames_read_back()) != self._written:
            self._partial.unlink(missing_ok=True)
            raise CaptureError(
                f"cannot write {self.path}: of {self._written} frames {readable} could be read back; is the disk full?"
            )
        try:
            self._partial.replace(self.path)
        except OSError as error:
            raise CaptureError(f"cannot write {self.path}: {error.strerror}") from None

    def _frames_read_back(self) -> int:
        count = 0
        with _quiet_ffmpeg():
            capture = cv2.VideoCapture(str(self._partial), cv2.CAP_FFMPEG)
            while capture.grab():
                count += 1
            capture.release()
        return count

    def discard(self) -> None:
        """Give up what was written."""
        self._writer.release()
        self._partial.unlink(missing_ok=True)


@contextmanager
def _quiet_ffmpeg() -> Iterator[None]:
    """OpenCV and FFmpeg print their own lines on stderr; the error raised here says it once."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # read by OpenCV when it first opens a video
    with quiet_opencv():
        yield
