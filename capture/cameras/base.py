"""The interface of every camera source, and the description of a camera."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from livemef.capture.errors import CaptureError
from livemef.capture.frame import Exposure, Frame, Pixels


@dataclass(frozen=True, slots=True)
class CameraLimits:
    """Range of exposures that the camera accepts. Times in us; gain linear; `exposure_step_us` 0 = continuous."""

    exposure_min_us: float
    exposure_max_us: float
    exposure_step_us: float = 0.0
    gain_min: float = 1.0
    gain_max: float = 1.0


@dataclass(frozen=True, slots=True)
class CameraIdentity:
    """A camera in one mode: a calibration holds for this and for no other.

    serial: "" where the camera reports none. dtype: of its pictures.
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
    """The settings that the camera accepted when it was opened, which may differ from those requested.

    `exposure_delay`, `gain_delay`: frames from a request to the frame that has it; None = unknown, to be measured.
    `reports_exposure`: frames carry `measured`. `can_request`: exposures can be set (a recording's cannot).
    `paced`: "realtime" (frames arrive at the camera's own times), "fast" (as fast as they are read) or "stepped" (the
    source waits: the pipeline fuses every bracket and loses none).
    `plan`: the exposures that the source itself alternates or suggests, dark to bright; empty = none.
    `nominal_plan`: the plan's times are placeholders that only count and order the exposures (footage).
    `automatic`: automatic functions that could not be switched off, or not confirmed to be off.
    `model`, `serial`: of the device; "" = unknown, then `name` is used as the model.
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
        """This camera in its mode."""
        return CameraIdentity(self.model or self.name, self.serial, self.width, self.height, self.dtype)


@dataclass(frozen=True, slots=True)
class SensorNoise:
    """Photon transfer of a sensor at one analogue gain. Both in electrons; full_well_e: at the highest code."""

    gain: float
    full_well_e: float
    read_noise_e: float


@dataclass(frozen=True)
class KnownCamera:
    """The results of a calibration that the live pipeline uses, for one camera in one mode.

    source: the profile's file, for messages. exposure_delay, gain_delay: as in CameraInfo. response: linear light of
    blue, green and red at equally spaced codes 0..1, None if it was not measured. noise: of the green channel, None if
    it was not measured.
    """

    source: str
    identity: CameraIdentity
    exposure_delay: int | None = None
    gain_delay: int | None = None
    response: tuple[tuple[float, ...], ...] | None = None
    noise: SensorNoise | None = None

    def applied_to(self, info: CameraInfo) -> CameraInfo:
        """The camera's description with the calibrated delays in place of the stated ones.

        Bracketing checks them on the first frames and measures again if they are wrong. Raises CaptureError if this is
        another camera or another mode.
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
    """A camera that was found, not opened. `modes`: its modes, as text. `problem`: why it cannot be opened."""

    uri: str
    name: str
    modes: tuple[str, ...] = ()
    problem: str = ""


class Camera(Protocol):
    """One open camera. Not thread-safe; for one process. In this order: open_camera, start, read/request ..., close."""

    @property
    def info(self) -> CameraInfo:
        """The settings accepted at opening."""

    def start(self) -> None:
        """Begin delivering frames."""

    def request(self, exposure: Exposure) -> None:
        """Request an exposure; it takes effect some frames later. At most one call a frame, after `read`."""

    def read(self, timeout_s: float) -> Frame:
        """The next frame. Raises CameraStalled after `timeout_s`, EndOfStream at the end of a finite source."""

    def close(self) -> None:
        """Free the device. May be called twice."""


Room = Callable[[], "Pixels | None"]
"""Returns memory for the camera's next picture (of its shape and dtype, packed, writable), None = allocate your own.

The same memory is returned until the picture in it has been handed over: what a camera wrote there for a frame that was
damaged, or that nobody wanted, is overwritten.
"""


def no_room() -> Pixels | None:
    """The Room of a camera that was given none."""
    return None


@runtime_checkable
class WritingCamera(Protocol):
    """A camera that converts its pictures straight into memory that it is given: no copy follows."""

    def write_into(self, room: Room) -> None:
        """Convert each picture into the memory that `room` returns, from the next frame on.

        A frame's pixels then lie there, and are valid until the next `read`.
        """


def give_room(camera: Camera, room: Room) -> bool:
    """Let the camera write its pictures into `room`. False: it cannot, and its frames have memory of their own."""
    if not isinstance(camera, WritingCamera):
        return False
    camera.write_into(room)
    return True


@runtime_checkable
class MosaicCamera(Protocol):
    """A camera that can deliver a frame's raw mosaic beside its picture."""

    def deliver_mosaics(self) -> bool:
        """Let all frames from now on have their mosaic, an array of its own. False: not in this mode."""


def ask_for_mosaics(camera: Camera) -> bool:
    """Whether the camera's frames have mosaics from now on; they are large, so only then."""
    return isinstance(camera, MosaicCamera) and camera.deliver_mosaics()
