"""A camera that livemef does not know, as an object of one's own: python own_camera.py fused.png."""

import sys
import time

import numpy as np

import livemef

LIGHT = np.exp2(np.linspace(-8, 4, 320))[None, :, None] * np.ones((240, 1, 3)) / 8000


class RampCamera:
    """A ramp of light over 12 stops. A request is in force two frames later; each frame reports its exposure."""

    def __init__(self) -> None:
        limits = livemef.CameraLimits(exposure_min_us=50, exposure_max_us=30_000)
        self.info = livemef.CameraInfo("ramp://", "ramp", 320, 240, "uint8", 30, limits, 1, reports_exposure=True)
        self._due = [livemef.Exposure(500)] * 2
        self._sequence = 0

    def start(self) -> None: ...  # noqa: D102 (nothing to switch on here, and nothing to free)
    def close(self) -> None: ...  # noqa: D102

    def request(self, exposure: livemef.Exposure) -> None:
        """Ask for an exposure; livemef does so once a frame, after `read`."""
        self._due.append(exposure)

    def read(self, timeout_s: float) -> livemef.Frame:
        """A real camera waits for its frame here, and raises livemef.CameraStalled after `timeout_s`."""
        exposure = self._due.pop(0) if len(self._due) > 1 else self._due[0]
        self._sequence, now = self._sequence + 1, time.monotonic_ns()
        record = livemef.FrameRecord(self._sequence, now, "monotonic", now, measured=exposure, response="srgb")
        return livemef.Frame(record, (255 * np.clip(LIGHT * exposure.light, 0, 1) ** (1 / 2.2)).astype(np.uint8))


with livemef.open_camera(RampCamera(), exposures="500us,16ms") as camera, livemef.open_fuser() as fuser:
    bracket = next(iter(camera.brackets()))
    livemef.write_picture(sys.argv[1], fuser.fuse(bracket).pixels)
