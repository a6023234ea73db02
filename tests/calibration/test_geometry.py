"""Distortion and registration against the lens that the simulated board was seen through."""

import math
import random
from pathlib import Path

import numpy as np
import pytest

from livemef.calibration.errors import CalibrationError
from livemef.calibration.geometry import (
    VIEWS,
    BoardFinder,
    all_views,
    board_picture,
    draw,
    draw_registration,
    measure_geometry,
    measure_registration,
    paired_views,
    still_views,
)
from livemef.calibration.source import open_shots
from livemef.capture.files.image_io import write_picture
from tests.quick import quick

BOARD = "sim://?scene=board&size=640x480&pace=fast"


@pytest.mark.parametrize("number", quick(range(4), 1))
def test_a_random_lens_is_found(number: int) -> None:
    chance = random.Random(number)
    k1, k2 = chance.uniform(-0.35, 0.15), chance.uniform(-0.05, 0.1)
    focal = chance.uniform(0.75, 1.1)
    shots, finder = open_shots(f"{BOARD}&k1={k1:.4f}&k2={k2:.4f}&focal={focal:.4f}"), BoardFinder()
    views = still_views(shots.frames(), finder, 640)
    section = measure_geometry(views, finder, 640, 480)
    assert section.views >= VIEWS - 2
    assert section.rms_px < 0.3
    (fx, _, cx), (_, fy, cy), _ = section.camera_matrix
    assert [fx, fy] == pytest.approx([focal * 640] * 2, rel=0.01)
    assert [cx, cy] == pytest.approx([319.5, 239.5], abs=3)
    # as the lens bends, not coefficient by coefficient: they make up for one another
    radius = np.linspace(0, 0.4 / focal, 20)
    bend = radius * (k1 * radius**2 + k2 * radius**4)
    found = radius * (np.polyval([section.distortion[4], *section.distortion[1::-1], 0], radius**2))
    np.testing.assert_allclose(found * focal * 640, bend * focal * 640, atol=0.5)
    assert draw(section, views, 640, 480).std() > 10


@pytest.mark.full
def test_a_second_camera_is_registered_to_the_first() -> None:
    first, second = open_shots(BOARD), open_shots(f"{BOARD}&roll=3&focal=1.0&seed=2")
    finder = BoardFinder()
    pairs = paired_views(first.frames(), second.frames(), finder, True, 640)
    section = measure_registration(pairs, "second")
    cosine, sine = math.cos(math.radians(3)), math.sin(math.radians(3))
    turn = np.array([[cosine, sine, 0], [-sine, cosine, 0], [0, 0, 1]])
    one, two = (np.array([[f * 640, 0, 319.5], [0, f * 640, 239.5], [0, 0, 1]]) for f in (0.9, 1.0))
    true = one @ turn @ np.linalg.inv(two)
    for x, y in ((0, 0), (639, 0), (320, 240), (0, 479), (639, 479)):
        here, there = (h @ [x, y, 1] for h in (true, np.array(section.homography)))
        np.testing.assert_allclose(there[:2] / there[2], here[:2] / here[2], atol=0.5)
    assert section.rms_px < 0.3
    assert draw_registration(section, pairs, 640, 480).std() > 5


def test_a_folder_holds_one_picture_a_pose(tmp_path: Path) -> None:
    shots, finder = open_shots(BOARD), BoardFinder()
    for number, frame in enumerate(shots.frames()):
        if number % 15 == 7:
            write_picture(tmp_path / f"{number:03}.png", frame.pixels)
        if number > 150:
            break
    views = all_views(open_shots(str(tmp_path)).frames(), finder)
    section = measure_geometry(views, finder, 640, 480)
    assert section.camera_matrix[0][0] == pytest.approx(576, rel=0.02)


def test_too_little_of_the_board_is_refused() -> None:
    with pytest.raises(CalibrationError, match="was seen in 0 poses"):
        measure_geometry([], BoardFinder(), 640, 480)
    with pytest.raises(CalibrationError, match="see 0 corners"):
        measure_registration([], "second")


def test_the_printed_board_is_the_one_that_is_detected() -> None:
    for squares in ((8, 6), (5, 7)):
        grey = board_picture(squares)
        view = BoardFinder(squares).find(np.repeat(grey[::2, ::2, None], 3, axis=2))
        assert view is not None
        assert len(view.numbers) == (squares[0] - 1) * (squares[1] - 1)
