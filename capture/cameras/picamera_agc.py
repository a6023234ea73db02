"""The rate above which a Raspberry Pi's software skips exposures, unless its configuration says otherwise."""

from __future__ import annotations

from collections.abc import Mapping

from livemef.capture.errors import CaptureError

AGC_LIMIT_FPS = 33.0


def refuse_skipping_agc(uri: str, fps: float, environment: Mapping[str, str]) -> None:
    """Raise CaptureError above about 33 fps, where the Pi's software skips frames when it sets exposures.

    A setting in its configuration file allows higher rates.
    """
    if fps <= AGC_LIMIT_FPS:
        return
    path = environment.get("LIBCAMERA_RPI_CONFIG_FILE", "")
    try:
        with open(path, encoding="utf-8") as file:
            allowed = "controller_min_frame_duration_us" in file.read()
    except OSError:
        allowed = False
    if not allowed:
        raise CaptureError(
            f"camera '{uri}': above {AGC_LIMIT_FPS:.0f} fps a Pi skips exposures; lower fps, or set "
            f"controller_min_frame_duration_us below {1e6 / fps:.0f} in the file that LIBCAMERA_RPI_CONFIG_FILE names"
        )
