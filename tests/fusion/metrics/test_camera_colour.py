import math

import numpy as np
import pytest

from livemef.fusion.method import colour
from livemef.fusion.metrics.camera_colour import camera_colour, camera_rendering
from livemef.fusion.metrics.registry import score


def series(stops=(-2, 0, 2), turn=0.0):
    """A scene of coloured patches; the brighter its exposure, the more its red goes over into green, by `turn`."""
    rng = np.random.default_rng(0)
    light = np.kron(rng.uniform(0.02, 0.3, (8, 12, 3)), np.ones((8, 8, 1)))
    pictures = []
    for stop in stops:
        taken = light * 2.0**stop
        taken[..., 1] += turn * (stop + 2) * taken[..., 2]
        pictures.append(colour.to_codes(colour.encode(np.clip(taken, 0, 1)), np.dtype(np.uint8)))
    return pictures


def test_each_exposure_is_the_cameras_own():
    pictures = series(turn=0.2)
    for picture in pictures:
        found = camera_colour(pictures, picture)
        assert found.error < 1e-6
        assert found.large == 0
        assert found.chroma == pytest.approx(1)
        assert found.hue < 1e-5


def test_what_lies_between_two_exposures_is_between_their_colours():
    pictures = series(turn=0.2)
    labs = [
        np.stack(colour.lab_from_linear(colour.decode_table(256)[picture].astype(float)), -1) for picture in pictures
    ]
    a, b = camera_rendering(pictures, 0.25 * labs[0][..., 0] + 0.75 * labs[1][..., 0])
    np.testing.assert_allclose(a, 0.25 * labs[0][..., 1] + 0.75 * labs[1][..., 1], atol=1e-6)
    np.testing.assert_allclose(b, 0.25 * labs[0][..., 2] + 0.75 * labs[1][..., 2], atol=1e-6)


def test_a_grey_picture_has_no_chroma_and_a_large_error():
    pictures = series()
    grey = np.repeat(pictures[1][..., :1], 3, axis=2)
    found = camera_colour(pictures, grey)
    assert found.chroma < 0.01
    assert found.error > 10
    assert found.large > 0.3


def test_turned_hues_are_measured_in_degrees():
    pictures = series()
    found = camera_colour(pictures, pictures[1][..., ::-1].copy())
    assert found.hue > 20


def test_two_exposures_do_not_show_the_cameras_colours():
    pictures = series()
    assert math.isnan(camera_colour(pictures[:2], pictures[0]).error)
    assert math.isnan(score(pictures[:2], pictures[0]).camera_colour_error)
    assert score(pictures[::2], pictures[1], pictures).camera_colour_error < 1e-6
