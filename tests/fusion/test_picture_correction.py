"""Exposures corrected before fusion, against the plain formula in float64 and against simulated cameras."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from livemef.capture.frame import Pixels
from livemef.capture.srgb import encode
from livemef.fusion.correction import CameraCorrection
from livemef.fusion.errors import FusionError
from livemef.fusion.picture_correction import PictureCorrection

SIZE = 96, 64
MATRIX = np.array([[1.3, -0.2, 0.05], [-0.1, 1.1, -0.15], [0.02, -0.3, 1.6]])
RESPONSE = np.stack([np.linspace(-0.01, 1, 256) ** 2 * np.sign(np.linspace(-0.01, 1, 256)) for _ in range(3)])


def pictures(dtype: str) -> Pixels:
    rng = np.random.default_rng(2)
    return rng.integers(0, np.iinfo(dtype).max + 1, (SIZE[1], SIZE[0], 3)).astype(dtype)


def falloff() -> NDArray[np.float32]:
    return np.asarray(np.linspace(1, 0.6, SIZE[0])[None, :, None] * np.ones((SIZE[1], 1, 3)), np.float32)


def by_definition(correction: CameraCorrection, pixels: Pixels) -> Pixels:
    """Codes after response, flat field, cut at the neutral ceiling, matrix, sRGB curve."""
    highest = np.iinfo(pixels.dtype).max
    tables = correction.light_tables(highest + 1).astype(float)
    light = np.stack([tables[channel][pixels[..., channel]] for channel in range(3)], axis=-1)
    if correction.transmission is not None:
        light = light / correction.transmission
    matrix = np.eye(3) if correction.matrix is None else correction.matrix
    neutral = np.linalg.inv(matrix) @ np.ones(3)
    light = np.minimum(light, neutral / neutral.max())
    codes = encode(np.clip(light @ (matrix * neutral.max()).T, 0, 1)) * highest
    return np.rint(codes).astype(pixels.dtype)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize(
    "parts",
    [
        {"response": RESPONSE},
        {"response": RESPONSE, "transmission": falloff()},
        {"matrix": MATRIX},
        {"response": RESPONSE, "transmission": falloff(), "matrix": MATRIX},
    ],
)
def test_it_is_the_formula(parts: dict[str, NDArray[np.floating]], dtype: str) -> None:  # type: ignore[type-arg]
    correction = CameraCorrection(size=SIZE, **parts)  # type: ignore[arg-type]
    pixels = pictures(dtype)
    found = PictureCorrection(correction).apply(pixels)
    assert found.dtype == pixels.dtype
    difference = np.abs(found.astype(int) - by_definition(correction, pixels))
    assert difference.max() <= (1 if dtype == "uint8" else 40)
    assert np.mean(difference) < (0.01 if dtype == "uint8" else 2)


def test_what_clips_becomes_white_whatever_the_channels_balance() -> None:
    correction = PictureCorrection(CameraCorrection(size=SIZE, matrix=MATRIX))
    white = np.full((SIZE[1], SIZE[0], 3), 255, np.uint8)
    assert correction.apply(white).min() == 255
    steps = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    stepped = PictureCorrection(CameraCorrection(matrix=MATRIX)).apply(steps).astype(int)
    assert (np.diff(stepped[0], axis=0) >= 0).all()


def test_hot_pixels_take_the_mean_of_what_is_sound_around() -> None:
    pixels = np.full((SIZE[1], SIZE[0], 3), 100, np.uint8)
    pixels[29:32, 39:42] = 180
    pixels[30, 40] = 255
    pixels[0:2, 0:2] = 255
    correction = PictureCorrection(CameraCorrection(size=SIZE, hot_pixels=((40, 30), (0, 0))))
    assert np.array_equal(correction.apply(pixels), np.full_like(pixels, 100))
    assert pixels[30, 40, 0] == 255


def test_a_lens_is_straightened() -> None:
    camera = np.array([[90.0, 0, 47.5], [0, 90.0, 31.5], [0, 0, 1]])
    bent = CameraCorrection(size=SIZE, lens=(camera, np.array([-0.3, 0.0, 0.0, 0.0, 0.0])))
    pixels = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    pixels[:, 10:12] = 255
    straight = PictureCorrection(bent).apply(pixels)
    middle, top = (int(straight[row, :48, 0].argmax()) for row in (32, 4))
    assert middle < 10
    assert top < middle
    assert np.array_equal(PictureCorrection(CameraCorrection(size=SIZE)).apply(pixels), pixels)


def test_what_cannot_be_applied_is_refused() -> None:
    correction = PictureCorrection(CameraCorrection(size=SIZE))
    with pytest.raises(FusionError, match="measured at 96x64, the picture is 64x96"):
        correction.apply(np.zeros((96, 64, 3), np.uint8))
    with pytest.raises(FusionError, match="no neutral grey"):
        PictureCorrection(CameraCorrection(matrix=np.diag([1.0, 1.0, -1.0])))
    with pytest.raises(FusionError, match="no neutral grey"):
        PictureCorrection(CameraCorrection(matrix=np.ones((3, 3))))


def test_what_is_applied_is_named() -> None:
    assert CameraCorrection().applied == ()
    whole = CameraCorrection(response=RESPONSE, transmission=falloff(), hot_pixels=((1, 1),), matrix=MATRIX)
    assert whole.applied == ("response", "flat field", "hot pixels", "colour")
