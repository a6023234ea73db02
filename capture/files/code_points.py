"""Colour spaces by number, as ITU-T H.273 counts them: in PNG's cICP, in HEIC and AVIF."""

from __future__ import annotations

from livemef.capture.files import colour_space as spaces
from livemef.capture.files.colour_space import ColourSpace, Curve
from livemef.capture.srgb import decode

_PRIMARIES = {
    1: spaces.SRGB_PRIMARIES,
    5: spaces.BT601_625_PRIMARIES,
    6: spaces.BT601_525_PRIMARIES,
    7: spaces.BT601_525_PRIMARIES,
    9: spaces.BT2020_PRIMARIES,
    12: spaces.P3_PRIMARIES,
}
_CURVES: dict[int, Curve] = {
    1: spaces.bt709_curve,
    4: spaces.power_curve(2.2),
    5: spaces.power_curve(2.8),
    6: spaces.bt709_curve,
    8: spaces.power_curve(1.0),
    13: decode,
    14: spaces.bt709_curve,
    15: spaces.bt709_curve,
}
_HDR = {16: "PQ", 18: "HLG"}


def space_of_code_points(primaries: int, transfer: int) -> ColourSpace:
    """The space of these primaries and this transfer function. Raises ValueError, in words, for one not known here."""
    if transfer in _HDR:
        raise ValueError(f"it is an HDR picture ({_HDR[transfer]}), not an exposure of a bracket")
    if primaries not in _PRIMARIES or transfer not in _CURVES:
        raise ValueError(f"its colour space (code points {primaries}/{transfer} of H.273) is not known here")
    curves = (_CURVES[transfer],) * 3
    return ColourSpace(f"code points {primaries}/{transfer}", spaces.xyz_matrix(_PRIMARIES[primaries]), curves)
