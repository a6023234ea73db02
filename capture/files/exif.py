"""What EXIF (CIPA DC-008) says of a photograph: how it was exposed, how the camera was held, Adobe RGB or not."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from livemef.capture.frame import Exposure

_ORIENTATION, _EXPOSURE_TIME, _F_NUMBER = 0x0112, 0x829A, 0x829D
_ISO, _STANDARD_OUTPUT, _RECOMMENDED_INDEX, _ISO_SPEED = 0x8827, 0x8831, 0x8832, 0x8833
_SHUTTER_SPEED, _APERTURE = 0x9201, 0x9202
_EXIF_IFD, _INTEROP_IFD, _INTEROP_INDEX = 0x8769, 0xA005, 0x0001
_ISO_IS_ELSEWHERE = 65535
"""More than the tag holds: the true value is in one of the longer tags."""
_TELLING_RATIO = 1.05
"""Exposures closer than this are one setting written into all the pictures, not a bracket."""


@dataclass(frozen=True)
class Exif:
    """What was read; None where a tag is missing or makes no sense.

    orientation: 1 (as stored) to 8, EXIF's numbers. exposure_us: exposure time in microseconds. iso: sensitivity.
    f_number: of the lens. adobe_rgb: the camera says that its colours are Adobe RGB (DCF option file).
    """

    orientation: int = 1
    exposure_us: float | None = None
    iso: float | None = None
    f_number: float | None = None
    adobe_rgb: bool = False

    @property
    def exposure(self) -> Exposure | None:
        """Exposure time and ISO / 100 as gain (ISO 100 where it is not given); None without a time. No aperture."""
        if self.exposure_us is None:
            return None
        return Exposure(self.exposure_us, 1.0 if self.iso is None else self.iso / 100.0)


NO_EXIF = Exif()


def read_exif(data: bytes) -> Exif:
    """The tags of an EXIF block (a TIFF structure, also after "Exif"). Damaged ones count as missing; never raises."""
    from PIL import Image

    if not data:
        return NO_EXIF
    found = Image.Exif()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found.load(data)
            ifd0, detail = dict(found), dict(found.get_ifd(_EXIF_IFD))
            interop = dict(found.get_ifd(_INTEROP_IFD)) if _INTEROP_IFD in detail else {}
        except Exception:
            # Pillow raises nearly anything on damaged metadata: the picture is good without
            return NO_EXIF
    return exif_of_tags({**ifd0, **detail}, str(interop.get(_INTEROP_INDEX, "")))


def exif_of_tags(tags: Mapping[int, Any], interop_index: str = "") -> Exif:
    """From tags by number; those of IFD0 and of the EXIF IFD together (exposure stands in either)."""
    orientation = _number(tags.get(_ORIENTATION))
    return Exif(
        orientation=int(orientation) if orientation is not None and orientation in range(1, 9) else 1,
        exposure_us=_exposure_us(tags),
        iso=_iso(tags),
        f_number=_f_number(tags),
        adobe_rgb=interop_index.startswith("R03"),
    )


def _exposure_us(tags: Mapping[int, Any]) -> float | None:
    seconds = _number(tags.get(_EXPOSURE_TIME))
    if seconds is None or seconds <= 0:
        apex = _number(tags.get(_SHUTTER_SPEED))  # APEX time value: 2^-Tv seconds
        seconds = 2.0**-apex if apex is not None and abs(apex) < 30 else None
    return seconds * 1e6 if seconds is not None and 0 < seconds < 86400 else None


def _iso(tags: Mapping[int, Any]) -> float | None:
    value = _number(tags.get(_ISO))
    if value is None or value <= 0 or value >= _ISO_IS_ELSEWHERE:
        others = [_number(tags.get(tag)) for tag in (_RECOMMENDED_INDEX, _STANDARD_OUTPUT, _ISO_SPEED)]
        value = next((other for other in others if other is not None and other > 0), None)
    return value if value is not None and 0 < value < 1e7 else None


def _f_number(tags: Mapping[int, Any]) -> float | None:
    value = _number(tags.get(_F_NUMBER))
    if value is None or value <= 0:
        apex = _number(tags.get(_APERTURE))  # APEX aperture value: N = 2^(Av / 2)
        value = 2.0 ** (apex / 2) if apex is not None and 0 < apex < 20 else None
    return value if value is not None and 0.3 < value < 200 else None


def _number(value: Any) -> float | None:
    """A number, or the first of several."""
    try:
        several = isinstance(value, Sequence) and not isinstance(value, (str, bytes))
        result = float(value[0] if several else value)
    except (TypeError, ValueError, ZeroDivisionError, IndexError, OverflowError):
        return None
    return result if math.isfinite(result) else None


def comparable_exposures(photographs: Sequence[Exif]) -> list[Exposure | None]:
    """Each picture's exposure, None where EXIF has no time; their light is true in relation to each other.

    Where every aperture is known and they differ, `gain` includes what each lets through against the widest:
    (N_widest / N)^2.
    """
    exposures = [photograph.exposure for photograph in photographs]
    apertures = [photograph.f_number for photograph in photographs if photograph.f_number is not None]
    if len(apertures) < len(photographs):
        return exposures
    widest = min(apertures, default=1.0)
    return [
        None if exposure is None else Exposure(exposure.exposure_us, exposure.gain * (widest / aperture) ** 2)
        for exposure, aperture in zip(exposures, apertures, strict=True)
    ]


def relative_exposures(photographs: Sequence[Exif]) -> tuple[Exposure, ...] | None:
    """The exposures of a bracket's pictures (`comparable_exposures`).

    None unless every picture has an exposure time and their light differs by 5 % or more.
    """
    known = [exposure for exposure in comparable_exposures(photographs) if exposure is not None]
    lights = sorted(exposure.light for exposure in known)
    apart = all(b > _TELLING_RATIO * a for a, b in itertools.pairwise(lights))
    return tuple(known) if len(known) == len(photographs) and apart else None
