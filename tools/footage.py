"""The brackets of footage in one process: every sliding bracket, in order and none lost, as `run` fuses them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from livemef.capture.bracketing.grouping import BracketGrouper
from livemef.capture.cameras.base import CameraInfo
from livemef.capture.cameras.registry import open_camera
from livemef.capture.errors import CaptureError, EndOfStream
from livemef.capture.frame import CapturedBracket, Frame
from livemef.capture.session import open_session

TIMEOUT_S = 60.0


def footage_uri(
    path: Path, exposures: int | None, ev: str | None, order: str | None = None, fps: float | None = None
) -> str:
    """The camera URI of footage, played as fast as it is read."""
    given = {"exposures": exposures, "ev": ev, "order": order, "fps": fps}
    query = "&".join(f"{name}={value}" for name, value in given.items() if value is not None)
    return f"file://{quote(str(path), safe='/.~')}?pace=stepped" + (f"&{query}" if query else "")


class FootageSource:
    """A finite source of frames, opened: its description, and its brackets. Use it as a context manager."""

    def __init__(self, uri: str) -> None:
        """Open the source. Raises CaptureError."""
        self._camera = open_camera(uri)
        try:
            self._session = open_session(self._camera, "auto", 1.0, 50)
        except CaptureError:
            self._camera.close()
            raise

    def __enter__(self) -> FootageSource:
        return self

    def __exit__(self, *error: object) -> None:
        self._camera.close()

    @property
    def info(self) -> CameraInfo:
        """What the source is."""
        return self._camera.info

    @property
    def exposures(self) -> int:
        """Exposures of a bracket."""
        return len(self._session.plan)

    @property
    def read(self) -> int:
        """Frames that were read, also those that no bracket holds."""
        return self._session.counters.received

    def brackets(self) -> Iterator[CapturedBracket]:
        """Every sliding bracket, in order. Raises CaptureError for a frame that cannot be read."""
        grouper = BracketGrouper[Frame]("sliding")
        self._camera.start()
        while True:
            try:
                frame = self._session.next_frame(TIMEOUT_S)
            except EndOfStream:
                return
            if frame is not None:
                grouped = grouper.push(frame.record, frame)
                if grouped.bracket is not None:
                    yield CapturedBracket(grouped.bracket, grouped.payloads)
