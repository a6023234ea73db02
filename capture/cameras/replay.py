"""file://PATH: a recording, brackets of pictures, or footage that alternates its exposures, played as a camera."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from livemef.capture.cameras.base import CameraInfo
from livemef.capture.cameras.pacing import REPLAY_PACES, oldest_kept, wait_for
from livemef.capture.cameras.replay_footage import FOOTAGE_PARAMETERS, Alternation, FootageReel
from livemef.capture.cameras.replay_sources import BracketReel, RecordingReel, Reel
from livemef.capture.errors import CaptureError, EndOfStream
from livemef.capture.files.recording import is_recording
from livemef.capture.frame import Exposure, Frame, FrameRecord
from livemef.capture.uri import CameraUri, Reader, duration_us, number, one_of, picture_size, read_query, switch

RECORDING_PARAMETERS: dict[str, Reader] = {"pace": one_of(REPLAY_PACES), "loop": switch}
BRACKET_PARAMETERS: dict[str, Reader] = {
    "pace": one_of(REPLAY_PACES),
    "loop": switch,
    "fps": number(0.01, 1000.0),
    "hold": duration_us,
    "size": picture_size,
}


class Replay:
    """A reel of frames delivered as a camera would. `pace`: realtime, fast or stepped (the latter two never wait).

    At realtime pace a late reader loses the frames that a camera's queue would not have kept.
    """

    def __init__(self, reel: Reel, pace: str) -> None:
        self._reel: Reel | None = reel
        self._pace = pace
        self._info = replace(reel.info, paced=pace)
        self._next = 0
        self._started_ns: int | None = None

    @property
    def info(self) -> CameraInfo:
        """The source's description, with this pace."""
        return self._info

    def start(self) -> None:
        """Begin (again) at the first frame."""
        self._next = 0
        self._started_ns = time.monotonic_ns()

    def request(self, exposure: Exposure) -> None:
        """Raises CaptureError: the exposure of recorded frames cannot be changed."""
        raise CaptureError(f"camera '{self._info.uri}': the exposure of pictures from disk cannot be set")

    def read(self, timeout_s: float) -> Frame:
        """The next frame. Raises CameraStalled, EndOfStream, or CaptureError for a picture that cannot be read."""
        if self._reel is None or self._started_ns is None:
            raise CaptureError(f"camera '{self._info.uri}': is not started")
        if self._pace == "realtime":
            self._next = self._keep_time(self._reel, self._started_ns, timeout_s)
        if self._over(self._reel, self._next):
            raise EndOfStream(f"camera '{self._info.uri}': the last frame has been played")
        frame = self._reel.frame(self._next)
        self._next += 1
        return Frame(self._as_played(frame, self._started_ns), frame.pixels)

    def close(self) -> None:
        """Free the pictures."""
        self._reel = None

    def _keep_time(self, reel: Reel, started_ns: int, timeout_s: float) -> int:
        # the first frame is never lost: nobody could count what was lost before it
        now_ns = time.monotonic_ns() if self._next else started_ns
        following = oldest_kept(self._next, now_ns, lambda n: started_ns + reel.due_ns(n))
        if reel.length is not None:
            # a late reader still gets the last frame of a recording, since no later frame replaces it
            following = min(following, max(self._next, reel.length - 1))
        if not self._over(reel, following):
            wait_for(started_ns + reel.due_ns(following), timeout_s, f"camera '{self._info.uri}'")
        return following

    def _over(self, reel: Reel, place: int) -> bool:
        return reel.length is not None and place >= reel.length

    def _as_played(self, frame: Frame, started_ns: int) -> FrameRecord:
        """The record with this playback's times at realtime pace, else with its own on a clock named "replay"."""
        record = replace(frame.record, received_ns=time.monotonic_ns())
        if self._pace == "realtime" and record.clock == "monotonic":
            return replace(record, timestamp_ns=record.timestamp_ns + started_ns)
        return replace(record, clock="replay")


def open_replay(uri: CameraUri) -> Replay:
    """Open file://PATH. Raises CaptureError for a file, folder or picture that cannot be played."""
    if not uri.path:
        raise CaptureError(f"camera '{uri.text}': names no folder or file: write file://PATH")
    path = Path(uri.path).expanduser()
    if is_recording(path):
        values = read_query(uri, RECORDING_PARAMETERS)
        return Replay(RecordingReel(uri.text, path, values.get("loop", False)), values.get("pace", "realtime"))
    if path.is_file() or (FOOTAGE_PARAMETERS.keys() - BRACKET_PARAMETERS.keys()) & uri.query.keys():
        return _open_footage(uri, path)
    values = read_query(uri, BRACKET_PARAMETERS)
    reel = BracketReel(
        uri.text,
        path,
        loop=values.get("loop", True),
        fps=values.get("fps", 30.0),
        hold_us=values.get("hold", 1e6),
        size=values.get("size"),
    )
    return Replay(reel, values.get("pace", "realtime"))


def _open_footage(uri: CameraUri, path: Path) -> Replay:
    values = read_query(uri, FOOTAGE_PARAMETERS)
    try:
        alternation = Alternation.of_values(values)
    except ValueError as error:
        raise CaptureError(f"camera '{uri.text}': {error}") from None
    reel = FootageReel(uri.text, path, alternation, values.get("loop", False), values.get("fps"))
    return Replay(reel, values.get("pace", "realtime"))
