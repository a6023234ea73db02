"""ICC profiles of three-primary colour spaces (matrix and curve, ICC v2.1): the same bytes every time.

A colour engine's built-in profiles carry the time they were made, so that two runs would differ. Sources:
ICC.1:2001-04, IEC 61966-2-1 (sRGB), Adobe RGB (1998), eciRGB v2 (its encoding of lightness as L*).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livemef.capture.srgb import decode

Values = NDArray[np.floating[Any]]

D65, D50 = (0.3127, 0.3290), (0.34567, 0.35850)
PCS_WHITE = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_ENTRIES = 4096


@dataclass(frozen=True)
class ColourSpace:
    """Primaries (x, y of red, green, blue), white (x, y), and the curve from encoded 0..1 to linear 0..1."""

    name: str
    primaries: tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
    white: tuple[float, float]
    linear: Callable[[Values], Values]

    def xyz_from_bgr(self) -> NDArray[np.float64]:
        """3 x 3: linear BGR to XYZ under the profile connection space's white, D50."""
        columns = np.stack([_xyz(*primary) for primary in reversed(self.primaries)], axis=1)
        white = _xyz(*self.white)
        matrix = columns * np.linalg.solve(columns, white)
        adaptation = np.diag((_BRADFORD @ PCS_WHITE) / (_BRADFORD @ white))
        return np.asarray(np.linalg.inv(_BRADFORD) @ adaptation @ _BRADFORD @ matrix)


def _xyz(x: float, y: float) -> NDArray[np.float64]:
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _lightness(encoded: Values) -> Values:
    """CIE L*/100 to relative luminance."""
    return np.where(encoded <= 0.08, encoded * 100 / 903.2963, ((encoded + 0.16) / 1.16) ** 3)


SRGB = ColourSpace("sRGB IEC61966-2.1 (livemef)", ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)), D65, decode)
LSTAR_RGB = ColourSpace("L*-RGB (encoding of eciRGB v2)", ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08)), D50, _lightness)
"""Wide enough for all patches of a ColorChecker, evenly spaced to the eye: the default of masters."""


@cache
def icc_profile(space: ColourSpace) -> bytes:
    """The profile of a colour space."""
    curve = np.round(np.clip(space.linear(np.linspace(0, 1, _ENTRIES)), 0, 1) * 65535).astype(">u2").tobytes()
    table = b"curv" + bytes(4) + struct.pack(">I", _ENTRIES) + curve
    columns = space.xyz_from_bgr().T
    tags = [
        (b"desc", _description(space.name)),
        (b"cprt", b"text" + bytes(4) + b"No copyright, use freely\0"),
        (b"wtpt", _xyz_type(PCS_WHITE)),
        (b"rXYZ", _xyz_type(columns[2])),
        (b"gXYZ", _xyz_type(columns[1])),
        (b"bXYZ", _xyz_type(columns[0])),
        *((name, table) for name in (b"rTRC", b"gTRC", b"bTRC")),
    ]
    places: dict[bytes, int] = {}
    index, body, start = b"", b"", 128 + 4 + 12 * len(tags)
    for name, data in tags:
        if data not in places:
            places[data] = start + len(body)
            body += data + bytes(-len(data) % 4)
        index += name + struct.pack(">II", places[data], len(data))
    return _header(start + len(body)) + struct.pack(">I", len(tags)) + index + body


def _header(size: int) -> bytes:
    date = struct.pack(">6H", 2026, 1, 1, 0, 0, 0)
    first = struct.pack(">I4sI4s4s4s", size, bytes(4), 0x02100000, b"mntr", b"RGB ", b"XYZ ") + date + b"acsp"
    return (first + bytes(28) + b"".join(map(_fixed, PCS_WHITE))).ljust(128, b"\0")


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def _xyz_type(values: NDArray[np.float64]) -> bytes:
    return b"XYZ " + bytes(4) + b"".join(map(_fixed, values))


def _description(text: str) -> bytes:
    data = text.encode("ascii") + b"\0"
    return b"desc" + bytes(4) + struct.pack(">I", len(data)) + data + bytes(4 + 4 + 2 + 1 + 67)
