"""ICC profiles (ICC.1:2022): those of three primaries and curves are read and written here, others go to Little CMS.

Read here because Little CMS, as Pillow binds it, converts 8 bits only, and these are what cameras and raw developers
embed: the arithmetic is a table and a matrix.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livemef.capture.errors import CaptureError
from livemef.capture.files.colour_space import D50, SRGB, ColourSpace, Curve, power_curve, to_srgb
from livemef.capture.frame import Pixels

_HEADER = 128
_MOST_TAGS = 200
_CURVE_ENTRIES = 1024
_ADVICE = "convert the picture to sRGB first, or remove the profile"


def convert_to_srgb(pixels: Pixels, profile: bytes) -> tuple[Pixels, str]:
    """A picture (BGR, uint8 or uint16) with its embedded profile as sRGB, and the profile's name ("" if it is sRGB).

    16 bits are kept. Raises CaptureError for a damaged profile, one that is not of RGB or grey pictures, or one made of
    tables where the picture has 16 bits and the package imagecodecs is missing.
    """
    kind = profile[16:20]
    if len(profile) < _HEADER or profile[36:40] != b"acsp":
        raise CaptureError(f"its colour profile is damaged: {_ADVICE}")
    if kind not in (b"RGB ", b"GRAY"):
        text = kind.decode("ascii", "replace").strip()
        raise CaptureError(f"its colour profile is of {text!r} pictures, which this is not: {_ADVICE}")
    try:
        space = matrix_space(profile)
    except (struct.error, ValueError, IndexError):
        raise CaptureError(f"its colour profile is damaged: {_ADVICE}") from None
    if space is not None:
        return to_srgb(pixels, space)
    return _through_little_cms(pixels, profile), profile_name(profile)


def profile_name(profile: bytes) -> str:
    """The profile's own description; "unnamed profile" if it has none that can be read."""
    try:
        body = _tags(profile).get(b"desc", b"")
        if body[:4] == b"desc":
            length = struct.unpack_from(">I", body, 8)[0]
            name = body[12 : 12 + length].split(b"\0")[0].decode("latin-1")
        else:
            length, offset = struct.unpack_from(">II", body, 20)
            name = body[offset : offset + length].decode("utf-16-be", "replace")
    except (struct.error, ValueError):
        name = ""
    return " ".join("".join(c for c in name[:100] if c.isprintable()).split()) or "unnamed profile"


def _tags(profile: bytes) -> dict[bytes, bytes]:
    count = struct.unpack_from(">I", profile, _HEADER)[0]
    if count > _MOST_TAGS:
        raise ValueError("too many tags")
    entries = [struct.unpack_from(">4sII", profile, _HEADER + 4 + 12 * number) for number in range(count)]
    return {name: profile[offset : offset + size] for name, offset, size in entries}


def matrix_space(profile: bytes) -> ColourSpace | None:
    """The space of a profile made of primaries and curves (or one curve, for grey); None for one made of tables."""
    tags = _tags(profile)
    name = profile_name(profile)
    if profile[20:24] != b"XYZ " or b"A2B0" in tags or b"D2B0" in tags:
        return None
    if profile[16:20] == b"GRAY":
        if b"kTRC" not in tags:
            return None
        # grey codes, as three equal channels: only the curve matters
        return ColourSpace(name, SRGB.to_xyz, (_curve(tags[b"kTRC"]),) * 3)
    if not all(channel + kind in tags for channel in (b"r", b"g", b"b") for kind in (b"XYZ", b"TRC")):
        return None
    matrix = np.stack([_xyz(tags[channel + b"XYZ"]) for channel in (b"r", b"g", b"b")], axis=1)
    if np.linalg.matrix_rank(matrix) < 3 or np.abs(matrix).max() > 4:
        raise ValueError("impossible primaries")
    curves = [_curve(tags[channel + b"TRC"]) for channel in (b"r", b"g", b"b")]
    return ColourSpace(name, matrix, (curves[0], curves[1], curves[2]))


def _xyz(body: bytes) -> NDArray[np.float64]:
    return np.array(struct.unpack_from(">3i", body, 8)) / 65536.0


def _curve(body: bytes) -> Curve:
    if body[:4] == b"para":
        return _parametric(body)
    if body[:4] != b"curv":
        raise ValueError("unknown kind of curve")
    count = struct.unpack_from(">I", body, 8)[0]
    if count == 0:
        return power_curve(1.0)
    if count == 1:
        return power_curve(_usable_gamma(struct.unpack_from(">H", body, 12)[0] / 256.0))
    if count > 1 << 16 or len(body) < 12 + 2 * count:
        raise ValueError("a curve is cut short")
    table = np.frombuffer(body, ">u2", count, 12) / 65535.0
    return lambda encoded: np.interp(encoded, np.linspace(0, 1, count), table)


def _usable_gamma(gamma: float) -> float:
    if not 0.05 <= gamma <= 20:
        raise ValueError("impossible gamma")
    return gamma


def _parametric(body: bytes) -> Curve:
    """Function types 0 to 4 of ICC.1:2022, 10.18, written as type 4: (a x + b)^g + e from d on, c x + f below."""
    kind = struct.unpack_from(">H", body, 8)[0]
    values = [value / 65536.0 for value in struct.unpack_from(f">{(1, 3, 4, 5, 7)[kind]}i", body, 12)]
    g = _usable_gamma(values[0])
    a, b, c, d, e, f = 1.0, 0.0, 0.0, 0.0, 0.0, 0.0
    if kind in (1, 2):
        a, b = values[1:3]
        if not a:
            raise ValueError("impossible curve")
        d, e = -b / a, values[3] if kind == 2 else 0.0
        f = e
    elif kind >= 3:
        a, b, c, d = values[1:5]
        e, f = values[5:7] if kind == 4 else (0.0, 0.0)
    return lambda x: np.where(x >= d, np.power(np.maximum(a * x + b, 0.0), g) + e, c * x + f)


def _through_little_cms(pixels: Pixels, profile: bytes) -> Pixels:
    """By perceptual tables. Pillow binds Little CMS for 8 bits, imagecodecs for 16 as well."""
    channels = 1 if profile[16:20] == b"GRAY" else 3
    source = np.ascontiguousarray(pixels[..., 0] if channels == 1 else pixels[..., ::-1])
    converted = (cms_to_rgb if pixels.dtype == np.uint8 else _sixteen_bits)(source, profile)
    return np.ascontiguousarray(converted[..., ::-1])


def cms_to_rgb(source: NDArray[Any], profile: bytes) -> NDArray[Any]:
    """Grey, RGB or CMYK samples of 8 bits as sRGB, by Little CMS. Raises CaptureError if it refuses the profile."""
    from PIL import Image, ImageCms

    mode = {2: "L", 3: {3: "RGB", 4: "CMYK"}.get(source.shape[-1], "RGB")}[source.ndim]
    try:
        image = Image.fromarray(source, mode) if mode == "CMYK" else Image.fromarray(source)
        flags = ImageCms.Flags.BLACKPOINTCOMPENSATION if mode == "CMYK" else ImageCms.Flags.NONE
        converted = ImageCms.profileToProfile(
            image,
            io.BytesIO(profile),
            io.BytesIO(srgb_profile()),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=flags,
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        raise CaptureError(f"its colour profile {profile_name(profile)!r} cannot be used: {_ADVICE}") from None
    return np.asarray(converted)


def _sixteen_bits(source: NDArray[Any], profile: bytes) -> NDArray[Any]:
    try:
        import imagecodecs
    except ImportError:
        raise CaptureError(
            f"its colour profile {profile_name(profile)!r} is made of tables, which 16 bits need a package for: "
            "pip install 'livemef[formats]'"
        ) from None
    try:
        space = "gray" if source.ndim == 2 else "rgb"
        return np.asarray(
            imagecodecs.cms_transform(
                source, profile, srgb_profile(), colorspace=space, outcolorspace="rgb", outdtype=source.dtype, intent=1
            )
        )
    except (RuntimeError, ValueError):
        raise CaptureError(f"its colour profile {profile_name(profile)!r} cannot be used: {_ADVICE}") from None


def srgb_profile() -> bytes:
    """The profile of sRGB that livemef embeds in what it writes."""
    return icc_profile(SRGB)


@cache
def icc_profile(space: ColourSpace) -> bytes:
    """A profile of a colour space whose channels share one curve, ICC version 2.1: the same bytes every time."""
    codes = np.linspace(0, 1, _CURVE_ENTRIES)
    table = np.rint(np.clip(space.curves[1](codes), 0, 1) * 65535).astype(">u2").tobytes()
    return _matrix_profile(space.name, space.to_xyz, b"curv" + bytes(4) + struct.pack(">I", _CURVE_ENTRIES) + table)


def _matrix_profile(name: str, matrix: NDArray[np.float64], curve: bytes) -> bytes:
    fixed: Callable[[NDArray[np.float64]], bytes] = lambda xyz: np.rint(xyz * 65536).astype(">i4").tobytes()  # noqa: E731
    ascii_name = name.encode("ascii") + b"\0"
    tags = [
        (b"desc", b"desc" + bytes(4) + struct.pack(">I", len(ascii_name)) + ascii_name + bytes(78)),
        (b"cprt", b"text" + bytes(4) + b"No copyright, use freely\0"),
        (b"wtpt", b"XYZ " + bytes(4) + fixed(D50)),
        *((name, b"XYZ " + bytes(4) + fixed(matrix[:, at])) for at, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))),
        *((name, curve) for name in (b"rTRC", b"gTRC", b"bTRC")),
    ]
    at = _HEADER + 4 + 12 * len(tags)
    table, bodies, places = b"", b"", dict[bytes, int]()
    for tag, body in tags:
        if body not in places:
            places[body] = at + len(bodies)
            bodies += body + bytes(-len(body) % 4)
        table += tag + struct.pack(">II", places[body], len(body))
    header = struct.pack(
        ">I4xI4s4s4s6H4s", at + len(bodies), 0x02100000, b"mntr", b"RGB ", b"XYZ ", 2024, 1, 1, 0, 0, 0, b"acsp"
    )
    header += bytes(28) + fixed(D50) + bytes(48)
    return header + struct.pack(">I", len(tags)) + table + bodies
