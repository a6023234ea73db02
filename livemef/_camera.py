"""Opening a camera with its profile: joins `capture` and `calibration`, which do not know each other that way round."""

from __future__ import annotations

from pathlib import Path

from livemef.calibration.profile import profile_in_force
from livemef.capture.bracket_camera import FRAME_LIMIT_S, BracketCamera, open_bracket_camera
from livemef.capture.cameras.base import Camera


def open_camera(
    camera: str | Camera,
    *,
    exposures: str = "auto",
    gain: float = 1.0,
    mains_hz: int = 50,
    profile: str | Path | None = None,
    timeout_s: float = FRAME_LIMIT_S,
) -> BracketCamera:
    """Open a camera whose exposures alternate from then on.

    camera: its URI ("sim://", "csi://0", "v4l2:///dev/video0", "file://FOLDER" ...: docs/cameras.md), or an object of
    your own that does what `Camera` describes. exposures: "auto" = they follow the scene; else a plan such as
    "1ms,16ms" or "1ms,4ms,16ms@2" (@ analogue gain). gain: analogue gain (linear) of the exposures that name none.
    mains_hz: 50, 60 or 0 (no lamps), for automatic exposures free of flicker. profile: what `livemef calibrate` found
    out of this camera. timeout_s: longest wait for a frame.

    Raises CaptureError for a camera that cannot be opened or whose exposure cannot alternate, CalibrationError for a
    profile that cannot be used.

        with livemef.open_camera("sim://") as camera:
            for bracket in camera.brackets():
                print(bracket.exposures, bracket.pixels[0].shape)
    """
    known, _ = profile_in_force(str(profile or ""))
    return open_bracket_camera(camera, exposures, gain, mains_hz, known, timeout_s)
