"""Recordings as sequences of brackets: written one by one, read one by one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from livemef.capture.cameras.base import CameraInfo
from livemef.capture.errors import CaptureError
from livemef.capture.files.recording import Recording, RecordingWriter
from livemef.capture.frame import Bracket, CapturedBracket, Frame

SHARED_FRAMES = 16
"""Frames kept while a recording is read, since neighbouring brackets share frames."""


class BracketRecorder:
    """Writes brackets into a new folder, losslessly, from a thread of its own. Use it as a context manager.

    What `write` took is on disk when the recorder is closed, and can be played as the camera `file://FOLDER`.
    """

    def __init__(self, folder: str | Path, info: CameraInfo) -> None:
        """Make the folder (it may exist, empty). info: of the camera (`camera.info`). Raises CaptureError."""
        self._writer = RecordingWriter(folder, info)

    def write(self, bracket: CapturedBracket, timeout_s: float = 60.0) -> None:
        """Take a bracket, waiting for the disk where it is behind. Frames that brackets share are stored once.

        Raises CaptureError if the disk refuses something, or has not caught up after `timeout_s`.
        """
        if not self._writer.accept(bracket.bracket, bracket.frames, timeout_s):
            raise CaptureError(f"recording {self._writer.folder}: the disk did not catch up within {timeout_s:g} s")

    def close(self) -> None:
        """Write what was taken, then end. Raises CaptureError if something could not be written."""
        self._writer.close()

    def __enter__(self) -> BracketRecorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_recording(folder: str | Path) -> Iterator[CapturedBracket]:
    """The brackets of a recording, as they were recorded. Raises CaptureError if it cannot be read.

    The lists are read at once, pictures when their bracket's turn comes; pixels are read-only.
    """
    recording = Recording(folder)

    @lru_cache(SHARED_FRAMES)
    def frame(place: int) -> Frame:
        frame = recording.frame(place)
        frame.pixels.flags.writeable = False
        return frame

    def brackets() -> Iterator[CapturedBracket]:
        for stored in recording.brackets:
            frames = tuple(map(frame, stored.frames))
            yield CapturedBracket(Bracket(tuple(frame.record for frame in frames), stored.verdict), frames)

    return brackets()
