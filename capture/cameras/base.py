"""What every camera source offers, and what is known of one before it is opened."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from livemef.capture.errors import CaptureError
from livemef.capture.frame import Exposure, Frame


@dataclass(frozen=True, slots=True)
class CameraLimits:
    """What the camera can be asked for. Times in microseconds; gain linear; `exposure_step_us` 0 = continuous."""

    exposure_min_us: float
    exposure_max_us: float
    exposure_step_us: float = 0.0
    gain_min: float = 1.0
    gain_max: float = 1.0


@dataclass(frozen=True, slots=True)
class CameraIdentity:
    """Which camera, in which mode: what is found out of one need not hold for another.

    serial: "" where the camera has none to tell. dtype: of its pictures.
    """

    model: str
    serial: str
    width: int
    height: int
    dtype: str

    def __str__(self) -> str:
        serial = f" {self.serial}" if self.serial else ""
        return f"{self.model}{serial}, {self.width}x{self.height}, {self.dtype}"


@dataclass(frozen=True, slots=True)
class CameraInfo:
    """What the camera accepted when it opened, not what was asked.

    `exposure_delay`, `gain_delay`: frames from a request to the frame that has it; None = not known, to be measured.
    `reports_exposure`: frames carry `measured`. `can_request`: exposures can be set (a recording's cannot).
    `paced`: "realtime" (frames come when they come), "fast" (as fast as they are read) or "stepped" (the
    source can wait: the pipeline fuses every bracket and loses none).
    `plan`: the exposures that the source itself alternates or suggests, dark to bright; empty = no opinion.
    `nominal_plan`: the plan's times are placeholders that only count and order the exposures (footage).
    `automatic`: what the camera does by itself that should be off but could not be confirmed to be.
    `model`, `serial`: of the device, whatever it looks at; "" = none to tell, then `name` stands for the model.
    """

    uri: str
    name: str
    width: int
    height: int
    dtype: str
    fps: float
    limits: CameraLimits
    exposure_delay: int | None = None
    gain_delay: int | None = None
    reports_exposure: bool = False
    can_request: bool = True
    paced: str = "realtime"
    plan: tuple[Exposure, ...] = ()
    nominal_plan: bool = False
    automatic: tuple[str, ...] = ()
    model: str = ""
    serial: str = ""

    @property
    def identity(self) -> CameraIdentity:
        """Which camera this is, in which mode."""
        return CameraIdentity(self.model or self.name, self.serial, self.width, self.height, self.dtype)


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


@dataclass(frozen=True, slots=True)
class FoundCamera:
    """A camera that is here, not opened. `modes`: what it offers, in words. `problem`: why it cannot be opened."""

    uri: str
    name: str
    modes: tuple[str, ...] = ()
    problem: str = ""


class Camera(Protocol):
    """One open camera. Not thread-safe; used by one process. Life: open_camera, start, read/request ..., close."""

    @property
    def info(self) -> CameraInfo:
        """What was accepted at opening."""

    def start(self) -> None:
        """Begin delivering frames."""

    def request(self, exposure: Exposure) -> None:
        """Ask for an exposure; it takes effect some frames later. At most one call a frame, after `read`."""

    def read(self, timeout_s: float) -> Frame:
        """The next frame. Raises CameraStalled after `timeout_s`, EndOfStream at the end of a finite source."""

    def close(self) -> None:
        """Free the device. May be called twice."""
