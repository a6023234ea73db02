"""The sRGB transfer function of IEC 61966-2-1, in numpy: the one place where it stands.

The training losses need it differentiable and in torch (`livemef.engine.lightness`); a test holds the two together.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.floating[Any]]

_DECODE_KNEE, ENCODE_KNEE, _SLOPE = 0.04045, 0.0031308, 12.92
"""The straight part near black: below these the encoded value is _SLOPE times the linear one."""


def decode(encoded: Values) -> Values:
    """Linear light 0..1 of sRGB-encoded values 0..1; any shape, in the floating dtype given."""
    curved = ((np.maximum(encoded, 0) + 0.055) / 1.055) ** 2.4
    return np.where(encoded > _DECODE_KNEE, curved, encoded / _SLOPE)


@lru_cache(maxsize=2)
def decoded_codes(top: int) -> NDArray[np.float64]:
    """Linear light 0..1 of the codes 0..top, top = 255 or 65535. Not to be changed."""
    return np.asarray(decode(np.arange(top + 1) / top), np.float64)


def encode(linear: Values) -> Values:
    """sRGB-encoded values 0..1 of linear light 0..1; any shape, in the floating dtype given."""
    curved = 1.055 * np.maximum(linear, ENCODE_KNEE) ** (1 / 2.4) - 0.055
    return np.where(linear > ENCODE_KNEE, curved, linear * _SLOPE)
