"""The camera in use with what its profile says: what capture and fusion are started with for it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from livemef.calibration.correction import correction_in_force
from livemef.calibration.profile import profile_in_force
from livemef.capture.cameras.base import KnownCamera
from livemef.fusion.correction import CameraCorrection, srgb_response
from livemef.tools.config.schema import Config


@dataclass(frozen=True)
class ChosenCamera:
    """uri: of the camera. profile: as headers name it, "" = none. known: what capture makes use of. correction: what
    fusion does with the exposures first. seen: the camera as fusion sees its exposures after that.
    """

    uri: str
    profile: str = ""
    known: KnownCamera | None = None
    correction: CameraCorrection | None = None
    seen: KnownCamera | None = None

    @property
    def corrections(self) -> tuple[str, ...]:
        """A line on what the camera's profile changes in pixels; none without a profile."""
        if not self.profile:
            return ()
        name = self.profile.partition("@")[0]
        if self.correction is None:
            return (f"{name} leaves pixels as they are",)
        return (f"{name} corrects {', '.join(self.correction.applied)}",)


def chosen_camera(config: Config) -> ChosenCamera:
    """Reads the profile of the camera in use. Raises CalibrationError for one that cannot be used."""
    used = config.camera_in_use
    known, profile = profile_in_force(used.profile)
    correction = correction_in_force(used.profile, config.capture.correct)
    seen = known
    if known is not None and correction is not None:
        seen = replace(known, response=srgb_response())
    return ChosenCamera(used.camera, profile, known, correction, seen)
