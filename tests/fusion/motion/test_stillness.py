"""Whether a scene stood still, judged against its own noise."""

import numpy as np
import pytest

from livemef.capture.frame import Pixels
from livemef.fusion.motion.stillness import StillCheck, Stillness

SIZE = 270, 480


def scene(shift: float = 0.0) -> np.ndarray:
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(float)
    x = x + shift
    waves = 0.5 + 0.2 * np.sin(x / 9) * np.cos(y / 7) + 0.15 * np.sin(x / 31 + y / 23)
    return np.repeat(waves[..., None], 3, axis=2)


def frame(picture: np.ndarray, noise: float, random: np.random.Generator, dtype: str = "uint8") -> Pixels:
    most = np.iinfo(dtype).max
    return np.clip(np.rint((picture + random.normal(0, noise, picture.shape)) * most), 0, most).astype(dtype)


def judged(pictures: list[np.ndarray], noise: float = 0.02, dtype: str = "uint8") -> Stillness:
    check, random = StillCheck(), np.random.default_rng(4)
    for picture in pictures:
        for index, gain in enumerate((0.3, 1.0)):
            check.add(index, frame(picture * gain, noise, random, dtype))
    return check.result()


@pytest.mark.parametrize("noise", [0.0, 0.01, 0.05])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_noise_is_no_motion(noise: float, dtype: str) -> None:
    found = judged([scene()] * 8, noise, dtype)
    assert found.changed < 1e-3
    assert found.shift_px < 0.3


@pytest.mark.parametrize("shift", [0.5, 1.0, 3.0])
def test_a_moved_camera_is_measured(shift: float) -> None:
    found = judged([scene()] * 4 + [scene(shift)] * 4)
    assert found.shift_px == pytest.approx(shift, abs=0.15)


def test_a_hand_in_the_picture_shows() -> None:
    hand = scene()
    hand[100:140, 200:260] = 0.1
    found = judged([scene()] * 4 + [hand] * 4)
    assert found.changed == pytest.approx(40 * 60 / (SIZE[0] * SIZE[1]), rel=0.3)


def test_one_frame_says_nothing() -> None:
    assert judged([scene()]) == Stillness()
