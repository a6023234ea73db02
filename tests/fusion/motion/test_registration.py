"""Is it the camera that moves, or only a thing before it?"""

import cv2
import numpy as np
import pytest

from livemef.fusion.cpu.compiled_motion import CompiledGridLoops
from livemef.fusion.kernels.shared_library import compiled
from livemef.fusion.motion import registration
from livemef.fusion.motion.registration import NO_MOVE

FINDERS = [registration.find_move]
if compiled():
    FINDERS.append(CompiledGridLoops().find_move)


def textured(height, width):
    """Structure everywhere, 0..1, soft."""
    noise = np.random.default_rng(1).random((height, width)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 3)
    return (soft - soft.min()) / np.ptp(soft)


def with_thing(plane, left):
    """A striped thing, a third of the picture wide, in front of it."""
    height, width = plane.shape
    found = plane.copy()
    y, x = np.mgrid[0 : height // 2, 0 : width // 3]
    found[height // 4 : height // 4 + height // 2, left : left + width // 3] = 0.45 + 0.4 * np.sin(x / 3 + y / 7)
    return found


@pytest.mark.parametrize("find_move", FINDERS)
def test_a_thing_before_a_plain_wall_does_not_move_the_camera(find_move):
    wall = 0.3 + 0.01 * textured(90, 160)
    assert find_move(with_thing(wall, 50), with_thing(wall, 53)) == NO_MOVE


@pytest.mark.parametrize("find_move", FINDERS)
def test_the_camera_moves_behind_a_thing_that_goes_elsewhere(find_move):
    scene = textured(100, 180)
    still = with_thing(scene[5:95, 10:170], 60)
    found = find_move(still, with_thing(scene[5:95, 8:168], 52))
    assert (found.dx, found.dy) == pytest.approx((2, 0), abs=0.2)
