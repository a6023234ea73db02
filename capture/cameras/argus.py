"""argus://N: the CSI cameras of an NVIDIA Jetson, through GStreamer's nvarguscamerasrc and PyGObject.

Frames carry no exposure, and some versions of the element take the first exposure range that is set for the limits of
all later ones. So the measurement of the delay at every start shows whether the camera alternates.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import gi
import numpy as np

from livemef.capture.cameras.base import CameraInfo, CameraLimits, FoundCamera, Room, no_room
from livemef.capture.cameras.modes import suggested_plan
from livemef.capture.cameras.pixel_formats import bgrx
from livemef.capture.cameras.timeouts import NoAnswer, call_within
from livemef.capture.errors import CameraStalled, CaptureError
from livemef.capture.frame import Exposure, Frame, FrameRecord, Pixels
from livemef.capture.uri import CameraUri, Reader, duration_us, number, picture_size, read_query, span

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402

SOURCE = "nvarguscamerasrc"
FIRST_FRAME_LIMIT_S = 5.0
CLOSE_LIMIT_S = 5.0
ATTEMPTS = 3
PAUSE_S = 1.0
"""Pause between attempts: nvargus-daemon often refuses a start soon after a stop."""
ADVICE = "sudo systemctl restart nvargus-daemon, and check the camera's cable"

PARAMETERS: dict[str, Reader] = {
    "size": picture_size,
    "fps": number(1.0, 240.0),
    "exposure": span(duration_us),
    "gain": number(1.0, 256.0),
}


@dataclass(frozen=True)
class ArgusSettings:
    """Settings of an argus:// URI. exposure: the sensor's range in us, which GStreamer does not report."""

    size: tuple[int, int] = (1280, 720)
    fps: float = 30.0
    exposure: tuple[float, float] | None = None
    gain: float = 1.0

    @property
    def limits(self) -> CameraLimits:
        """Limits with a fixed gain: changing it as well would restart the capture a second time for each frame."""
        period_us = 1e6 / self.fps
        low, high = self.exposure or (100.0, period_us)
        return CameraLimits(low, min(high, period_us), 0.0, self.gain, self.gain)


def exposure_range(exposure_us: float) -> str:
    """The value of the property exposuretimerange with a single exposure time, in ns."""
    nanoseconds = round(exposure_us * 1e3)
    return f"{nanoseconds} {nanoseconds}"


def source_text(index: int, settings: ArgusSettings, exposure_us: float) -> str:
    """The source in gst-launch syntax, with all automatic functions off."""
    width, height = settings.size
    rate = f"{round(settings.fps * 1000)}/1000"
    return (
        f'{SOURCE} name=source sensor-id={index} exposuretimerange="{exposure_range(exposure_us)}" '
        f'gainrange="{settings.gain:g} {settings.gain:g}" ispdigitalgainrange="1 1" aelock=true awblock=true '
        "tnr-mode=0 ee-mode=0 aeantibanding=0 "
        f"! video/x-raw(memory:NVMM),width={width},height={height},framerate={rate},format=NV12 ! nvvidconv "
        f"! video/x-raw,format=BGRx,width={width},height={height}"
    )


def following_number(last: int, last_ns: int, stamp_ns: int, period_ns: float) -> int:
    """Number of a frame, from the time since the last one: GStreamer drops frames without notice."""
    return last + max(1, round((stamp_ns - last_ns) / period_ns))


class ArgusCamera:
    """One running pipeline. `source`: gst-launch text of its beginning, up to and including the caps in BGRx."""

    def __init__(self, uri: str, source: str, settings: ArgusSettings) -> None:
        self._uri = uri
        self._settings = settings
        self._started = False
        self._room: Room = no_room
        self._sequence = -1
        self._last_ns = 0
        self._pipeline: Any = None
        for attempt in range(ATTEMPTS):
            try:
                self._run(source)
                break
            except CaptureError:
                self.close()
                if attempt == ATTEMPTS - 1:
                    raise
                time.sleep(PAUSE_S)

    @property
    def info(self) -> CameraInfo:
        """The settings: GStreamer accepts or refuses them as a whole."""
        settings = self._settings
        limits = settings.limits
        return CameraInfo(
            uri=self._uri,
            name="Argus camera",
            width=settings.size[0],
            height=settings.size[1],
            dtype="uint8",
            fps=settings.fps,
            limits=limits,
            plan=suggested_plan(limits.exposure_min_us, limits.exposure_max_us, gain=settings.gain),
        )

    def start(self) -> None:
        """Begin delivering frames; the pipeline has been running since it was opened."""
        self._opened()
        self._started = True

    def write_into(self, room: Room) -> None:
        """See WritingCamera."""
        self._room = room

    def request(self, exposure: Exposure) -> None:
        """Set the exposure range to one value; the source repeats its capture request with it."""
        source = self._opened().get_by_name("source")
        source.set_property("exposuretimerange", exposure_range(exposure.exposure_us))

    def read(self, timeout_s: float) -> Frame:
        """The newest frame, waited for up to `timeout_s`. Raises CameraStalled, CaptureError."""
        if not self._started:
            raise CaptureError(f"camera '{self._uri}': is not started")
        return self._pull(timeout_s)

    def close(self) -> None:
        """Stop the pipeline. Raises CaptureError if it has not stopped after CLOSE_LIMIT_S."""
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is None:
            return
        try:
            call_within(CLOSE_LIMIT_S, lambda: pipeline.set_state(Gst.State.NULL))
        except NoAnswer:
            raise CaptureError(f"camera '{self._uri}': does not stop; {ADVICE}") from None

    def _opened(self) -> Any:
        if self._pipeline is None:
            raise CaptureError(f"camera '{self._uri}': is closed")
        return self._pipeline

    def _run(self, source: str) -> None:
        """Start, and wait for a first frame: many errors appear only then."""
        try:
            self._pipeline = Gst.parse_launch(f"{source} ! appsink name=sink max-buffers=2 drop=true sync=false")
        except Exception as error:  # GLib.Error, which only exists where gi does
            raise CaptureError(f"camera '{self._uri}': GStreamer refuses: {error}") from error
        pipeline = self._pipeline
        try:
            call_within(FIRST_FRAME_LIMIT_S, lambda: pipeline.set_state(Gst.State.PLAYING))
        except NoAnswer:
            raise CaptureError(f"camera '{self._uri}': does not start; {ADVICE}") from None
        self._pull(FIRST_FRAME_LIMIT_S)

    def _pull(self, timeout_s: float) -> Frame:
        pipeline = self._opened()
        sample = pipeline.get_by_name("sink").emit("try-pull-sample", round(timeout_s * 1e9))
        received_ns = time.monotonic_ns()
        if sample is None:
            self._raise_error(pipeline)
            raise CameraStalled(f"camera '{self._uri}': no frame within {timeout_s:.3g} s")
        buffer = sample.get_buffer()
        # presentation times count from the start of the pipeline, whose clock is CLOCK_MONOTONIC
        stamp_ns = pipeline.get_base_time() + buffer.pts
        period_ns = 1e9 / self._settings.fps
        self._sequence = following_number(self._sequence, self._last_ns, stamp_ns, period_ns) if self._last_ns else 0
        self._last_ns = stamp_ns
        record = FrameRecord(self._sequence, stamp_ns, "monotonic", received_ns)
        return Frame(record, self._pixels(buffer))

    def _pixels(self, buffer: Any) -> Pixels:
        width, height = self._settings.size
        readable, mapped = buffer.map(Gst.MapFlags.READ)
        if not readable or mapped.size < 4 * width * height:
            raise CaptureError(f"camera '{self._uri}': its pictures are not {width}x{height} in BGRx")
        try:
            pixels = bgrx(np.frombuffer(mapped.data, np.uint8), width, height, 4 * width, self._room())
            assert pixels is not None
            return pixels
        finally:
            buffer.unmap(mapped)

    def _raise_error(self, pipeline: Any) -> None:
        message = pipeline.get_bus().pop_filtered(Gst.MessageType.ERROR | Gst.MessageType.EOS)
        if message is None:
            return
        reason = message.parse_error()[0].message if message.type == Gst.MessageType.ERROR else "the stream has ended"
        raise CaptureError(f"camera '{self._uri}': {reason}; {ADVICE}")


def find_argus() -> list[FoundCamera]:
    """The first camera of a Jetson, whether it is connected or not: GStreamer has no list."""
    Gst.init(None)
    return [FoundCamera("argus://0", "CSI camera")] if Gst.ElementFactory.find(SOURCE) is not None else []


def open_argus(uri: CameraUri) -> ArgusCamera:
    """Open argus://N. Raises CaptureError: no Jetson, no such camera, refused settings."""
    if not uri.path.isdecimal():
        raise CaptureError(f"camera '{uri.text}': names no camera by its number: write argus://0")
    settings = ArgusSettings(**read_query(uri, PARAMETERS))
    Gst.init(None)
    if Gst.ElementFactory.find(SOURCE) is None:
        raise CaptureError(f"camera '{uri.text}': GStreamer has no {SOURCE}: it comes with JetPack, for Jetsons only")
    first_us = suggested_plan(settings.limits.exposure_min_us, settings.limits.exposure_max_us)[0].exposure_us
    return ArgusCamera(uri.text, source_text(int(uri.path), settings, first_us), settings)
