from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livemef.capture.srgb import decode, decoded_codes, encode


def test_known_values() -> None:
    """Middle grey of IEC 61966-2-1's curve as other programs give it: 18 % is code 117.65 of 255, half is 187.52."""
    assert encode(np.array([0.0, 0.0031308, 0.18, 0.5, 1.0])) * 255 == pytest.approx(
        [0.0, 10.3148, 117.6458, 187.5160, 255.0], abs=1e-3
    )
    assert decode(np.array([0.0, 1 / 255, 0.5, 1.0])) == pytest.approx([0.0, 3.03527e-4, 0.2140411, 1.0], abs=1e-7)


@given(st.floats(0.0, 1.0))
def test_each_undoes_the_other(value: float) -> None:
    """To 1e-6: the standard's two knees are rounded, and leave that much of a step."""
    assert decode(encode(np.array(value))) == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_is_kept(dtype: type[np.floating]) -> None:
    values = np.linspace(0, 1, 5, dtype=dtype)
    assert decode(values).dtype == encode(values).dtype == dtype


@pytest.mark.parametrize("top", [255, 65535])
def test_codes_are_decoded_as_the_values_that_they_stand_for(top: int) -> None:
    codes = np.array([0, 1, top // 20, top // 2, top])
    np.testing.assert_array_equal(decoded_codes(top)[codes], decode(codes.astype(np.float64) / top))
