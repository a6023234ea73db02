"""What was found out of a camera before it was opened, and the check that it is this camera."""

from __future__ import annotations

from dataclasses import dataclass, replace

from capture.cameras.base import CameraIdentity, CameraInfo
from capture.errors import CaptureError


@dataclass(frozen=True)
class KnownCamera:
    """What a calibration knows of one camera in one mode, as far as capture makes use of it.

    source: the file it stands in, for messages. exposure_delay, gain_delay: as in CameraInfo.
    """

    source: str
    identity: CameraIdentity
    exposure_delay: int | None = None
    gain_delay: int | None = None

    def applied_to(self, info: CameraInfo) -> CameraInfo:
        """The camera's description with what is known filled in.

        Measured delays take the place of stated ones; bracketing checks them on the first frames and measures again if
        they do not hold. Raises CaptureError if this is another camera or another mode.
        """
        if info.identity != self.identity:
            raise CaptureError(
                f"profile {self.source}: is of {self.identity}, but {info.uri} is {info.identity}: "
                "take its own profile, or make one with livemef calibrate"
            )
        return replace(
            info,
            exposure_delay=info.exposure_delay if self.exposure_delay is None else self.exposure_delay,
            gain_delay=info.gain_delay if self.gain_delay is None else self.gain_delay,
        )
