"""The profile of one camera in one mode, a TOML file with a section for each measurement.

Channels are in the order blue, green, red. Codes are 0..1 of the range of the picture's dtype. docs/calibration.md
describes every key.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Annotated, Any, ClassVar

import tomlkit
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from livemef.calibration.errors import CalibrationError
from livemef.capture.cameras.base import CameraIdentity, KnownCamera, SensorNoise
from livemef.capture.errors import CaptureError
from livemef.capture.files.image_io import write_atomically
from livemef.capture.files.small_file import read_small_file
from livemef.capture.files.toml_io import parse_toml

FORMAT = "livemef-camera-profile"
VERSION = 1
LIMIT_BYTES = 8 << 20

Finite = Annotated[float, Field(allow_inf_nan=False)]
Delay = Annotated[int, Field(ge=0, le=100)]
ThreeChannels = tuple[Finite, Finite, Finite]
Matrix3 = tuple[ThreeChannels, ThreeChannels, ThreeChannels]

_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, kw_only=True)
class DelaySection:
    """Frames from a request to the frame that has it, as in CameraInfo; None = the camera cannot vary it.

    trials, agreeing: numbers of measurements with a result, and with this result. separation: the smallest step of
    brightness over the largest spread within one exposure.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    date: str
    exposure_delay: Delay | None = None
    gain_delay: Delay | None = None
    trials: int
    agreeing: int
    separation: Finite


@dataclass(frozen=True, kw_only=True)
class ResponseSection:
    """Light for each code. light[channel]: at equally spaced codes 0..1, 1 = the highest code.

    black_level: code without light. exposure_offset_us: time that the sensor adds to every requested exposure time.
    exposures: [exposure time us, gain, true light over that of the longest], darkest first. residual: relative RMS
    difference between the exposures' estimates of one pixel's light.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    date: str
    black_level: Finite
    light: tuple[tuple[Finite, ...], tuple[Finite, ...], tuple[Finite, ...]]
    exposure_offset_us: Finite
    exposures: tuple[tuple[Finite, Finite, Finite], ...]
    residual: Finite


@dataclass(frozen=True, kw_only=True)
class NoiseSection:
    """Photon transfer at one analogue gain, each value for blue, green, red.

    codes_per_electron: system gain, in linear codes of the picture's dtype. read_noise_e: temporal, electrons.
    full_well_e: electrons at the highest code. dynamic_range_stops: log2 of their ratio. residual: relative RMS of the
    variances about the fitted line.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    date: str
    gain: Finite
    codes_per_electron: ThreeChannels
    read_noise_e: ThreeChannels
    full_well_e: ThreeChannels
    dynamic_range_stops: ThreeChannels
    residual: Finite


@dataclass(frozen=True, kw_only=True)
class FlatSection:
    """Dark frame and flat field.

    dark_level, dark_noise: code without light and its temporal noise; None = no dark frames were given. hot_pixels:
    [x, y] of pixels far above it, at an exposure of dark_exposure_us. vignetting[channel][row][column]: transmission
    relative to the highest, at equally spaced positions from the picture's first to its last row and column, to be
    interpolated bilinearly. residual: relative RMS of the flat field after correction.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    date: str
    dark_level: Finite | None = None
    dark_noise: Finite | None = None
    dark_exposure_us: Finite | None = None
    hot_pixels: tuple[tuple[int, int], ...] = ()
    vignetting: tuple[tuple[tuple[Finite, ...], ...], ...]
    residual: Finite


@dataclass(frozen=True, kw_only=True)
class ColourSection:
    """matrix: linear BGR of the camera to linear BGR with sRGB's primaries. de00_...: of the chart after correction."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    date: str
    matrix: Matrix3
    de00_patches: tuple[Finite, ...]
    de00_mean: Finite
    de00_p90: Finite
    de00_max: Finite


@dataclass(frozen=True, kw_only=True)
class RegistrationSection:
    """homography: pixel of the second camera (x, y, 1) to pixel of the first. rms_px: of the board's corners."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    date: str
    second: str
    homography: Matrix3
    rms_px: Finite


@dataclass(frozen=True, kw_only=True)
class GeometrySection:
    """OpenCV's pinhole model. distortion: k1, k2, p1, p2, k3. rms_px: of the board's corners."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    date: str
    camera_matrix: Matrix3
    distortion: tuple[Finite, Finite, Finite, Finite, Finite]
    views: int
    rms_px: Finite


@dataclass(frozen=True, kw_only=True)
class CameraProfile:
    """One camera in one mode. `date` and `software` are those of the last change."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    format: str = FORMAT
    version: int = VERSION
    date: str
    software: str
    model: str
    serial: str
    width: int
    height: int
    dtype: str
    delay: DelaySection | None = None
    response: ResponseSection | None = None
    noise: NoiseSection | None = None
    flat: FlatSection | None = None
    colour: ColourSection | None = None
    geometry: GeometrySection | None = None
    registration: RegistrationSection | None = None

    @property
    def identity(self) -> CameraIdentity:
        """The camera and its mode."""
        return CameraIdentity(self.model, self.serial, self.width, self.height, self.dtype)

    def with_section(self, **section: Any) -> CameraProfile:
        """The profile with a section (given by its name) added or replaced, dated now."""
        return dataclasses.replace(self, date=now(), software=_software(), **section)

    def known_camera(self, source: str) -> KnownCamera:
        """The part that capture and fusion use."""
        delay, noise = self.delay, self.noise
        return KnownCamera(
            source,
            self.identity,
            exposure_delay=None if delay is None else delay.exposure_delay,
            gain_delay=None if delay is None else delay.gain_delay,
            response=None if self.response is None else self.response.light,
            noise=None if noise is None else SensorNoise(noise.gain, noise.full_well_e[1], noise.read_noise_e[1]),
        )


_ADAPTER = TypeAdapter(CameraProfile)


def new_profile(identity: CameraIdentity) -> CameraProfile:
    """A profile without sections."""
    return CameraProfile(date=now(), software=_software(), **dataclasses.asdict(identity))


def profile_name(identity: CameraIdentity) -> str:
    """Default file name of a camera's profile."""
    words = f"{identity.model} {identity.serial} {identity.width}x{identity.height} {identity.dtype}"
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-") + ".toml"


def load_profile(path: Path) -> CameraProfile:
    """Read a profile. Raises CalibrationError for a file that is missing, no profile, or of another version."""
    return profile_and_sum(path)[0]


def profile_and_sum(path: Path) -> tuple[CameraProfile, str]:
    """The same, and the SHA-256 of its file, 64 hexadecimal digits."""
    data = _read(path)
    return _parse(path, data), hashlib.sha256(data).hexdigest()


def save_profile(path: Path, profile: CameraProfile) -> None:
    """Write a profile, whole or not at all. Raises CalibrationError."""
    try:
        write_atomically(path, _toml(profile).encode())
    except CaptureError as error:
        raise CalibrationError(str(error)) from None


def profile_in_force(setting: str) -> tuple[KnownCamera | None, str]:
    """What capture makes use of, and how headers name it (file and first digits of its SHA-256), of a profile by path.

    None and "" for an empty path. Raises CalibrationError as load_profile does.
    """
    if not setting:
        return None, ""
    path = Path(setting).expanduser()
    profile, digest = profile_and_sum(path)
    return profile.known_camera(setting), f"{path.name}@{digest[:12]}"


def now() -> str:
    """The date, UTC, ISO 8601, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _software() -> str:
    return f"livemef {package_version('livemef')}"


def _read(path: Path) -> bytes:
    try:
        return read_small_file(path, LIMIT_BYTES)
    except OSError as error:
        raise CalibrationError(f"profile {path}: {error.strerror}; livemef calibrate makes one") from None


def _parse(path: Path, data: bytes) -> CameraProfile:
    try:
        table = parse_toml(data.decode("utf-8"))
    except ValueError as error:
        raise CalibrationError(f"profile {path}: not valid TOML: {error}") from None
    if table.get("format") != FORMAT:
        raise CalibrationError(f'profile {path}: is no camera profile: it has no format = "{FORMAT}"')
    if table.get("version") != VERSION:
        raise CalibrationError(
            f"profile {path}: has version {table.get('version')}, this program reads {VERSION}: calibrate again"
        )
    try:
        return _ADAPTER.validate_python(table)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(str(part) for part in fault["loc"])
        raise CalibrationError(f"profile {path}: {place}: {fault['msg'].lower()}") from None


def _toml(profile: CameraProfile) -> str:
    """The profile as TOML; what is None is left out."""
    values = {
        key: _without_none(value) if isinstance(value, dict) else value
        for key, value in _without_none(dataclasses.asdict(profile)).items()
    }
    return str(tomlkit.dumps(values))


def _without_none(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if value is not None}
