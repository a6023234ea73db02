"""A sample of each small pixel of the exposures as of one moment: one pixel, not the mean of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.capture.frame import Pixels
from livemef.fusion.motion.compensation import OneMoment, towards
from livemef.fusion.motion.exposure_synthesis import Compensation
from livemef.fusion.motion.ghost_mask import Mask
from livemef.fusion.motion.registration import NO_MOVE, Move
from livemef.fusion.motion.steadiness import StreamMemory

Remake = Callable[[Pixels, Pixels, Compensation], Pixels]
"""As exposure_synthesis.exposure."""
Lightness = Callable[[Pixels], NDArray[np.floating[Any]]]
"""The guide lightness (h x w) of pixels, see reference.guide_lightness."""


def note(
    memory: StreamMemory,
    exposures: Sequence[Pixels],
    found: OneMoment,
    mask: Mask,
    lightness: Lightness,
    remake: Remake,
) -> None:
    """Have the mean lightness of this bracket of a stream known before its pixels are made, where it is needed.

    mask: of the report on what was `found`.
    """
    cycle, shape = memory.cycle_lightness, (found.smalls[0].shape[0], found.smalls[0].shape[1])
    if cycle.begin(found.reference, len(exposures), mask, shape):
        cycle.sampled = [lightness(pixels) for pixels in of_one_moment(exposures, found, shape, remake)]


def of_one_moment(
    exposures: Sequence[Pixels], found: OneMoment, shape: tuple[int, int], remake: Remake
) -> list[Pixels]:
    """Samples (h x w x 3, shape = (h, w)) of exposures, dark to bright, as `found` makes them ones of one moment."""
    todos = found.compensations
    samples = [
        sampled(pixels, shape, todos[index].move if index in todos else NO_MOVE)
        for index, pixels in enumerate(exposures)
    ]
    for index, todo in todos.items():
        if todo.mask.any():
            neighbour = samples[towards(found.reference, index)]
            samples[index] = remake(neighbour, samples[index], replace(todo, move=NO_MOVE))
    return samples


def sampled(pixels: Pixels, shape: tuple[int, int], move: Move) -> Pixels:
    """The pixel in the middle of each of h x w parts of a picture without its move, to the nearest pixel."""
    (height, width), (rows, columns) = pixels.shape[:2], shape
    (turn_x, right), (turn_y, below) = move.offsets(height, width)
    step_x, step_y = width / columns, height / rows
    x, y = (step_x - 1) / 2, (step_y - 1) / 2
    place = np.array(
        [
            [step_x, turn_x * step_y, x + turn_x * y + right],
            [turn_y * step_x, step_y, y + turn_y * x + below],
        ]
    )
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(pixels, place, (columns, rows), flags=flags, borderMode=cv2.BORDER_REPLICATE))
