"""The ghost mask: where two exposures of a scene show different things, beyond what noise and clipping explain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.fusion.motion import intensity_mapping
from livemef.fusion.motion.intensity_mapping import Curve, ExposureMap

Grid = NDArray[np.float32]
"""A picture of the motion grid: cells down x cells across x 3, BGR, encoded 0..1."""
Mask = NDArray[np.float32]
"""Cells down x cells across, 0..1."""

CODE = 1 / 255
LEVELS = 16
MOST_SAMPLES = 1500
SURE, CERTAIN = 4.0, 7.0
"""Deviations at which a difference between two exposures begins to count, and counts in full."""
STILL_BELOW, FEWEST_STILL = 0.5, 8
"""Sureness of a change below which a cell counts as still, and part (one in so many) of the samples that must be still
for only these to be measured."""
CHANGE_SURE, CHANGE_CERTAIN = 3.0, 6.0
"""The same for a difference between two frames of one exposure."""
CONTRAST_PART = 0.08
"""Part of the contrast between neighbouring cells that is put down to edges not lying quite the same."""
CLIPS_START, CLIPS_END = 0.90, 0.97
"""Parts of `clips_at` from which, and at which surely, a channel that is so bright in both exposures may clip: then a
camera's processing desaturates the other channels as well, and they differ by up to about SPOILT more."""
SPOILT, SPOILT_OF_STILLS = 0.04, 0.1
"""Stills are judged by this difference alone: no frame before says whether anything has changed."""
GAP, WIDE_GAP, INSIDE, WIDER = 2, 4, 2, 1
"""Cells: gaps of a mask of up to 2 GAP are closed, and of 2 WIDE_GAP within what has changed, farther than INSIDE from
its border: there cells agree by chance. Then it is so much wider."""
GATE_CELLS = 5
"""Cells about a change of one exposure in which a disagreement between exposures is believed."""
MOVES = 0.5
"""Mask from which a cell counts as moving."""
SPREAD_OF_MAD = 1.4826
LEVEL = np.linspace(0, 1, intensity_mapping.KNOTS + 1)


@dataclass(frozen=True)
class Allowed:
    """What two exposures of one scene may differ by, by channel (3 x KNOTS + 1, see intensity_mapping).

    expected: the brighter exposure's value, noise: the variance of the difference, for each of the darker one's values.
    spoilt: deviation by which channels may differ beside one that clips. clips_at: encoded value where exposures clip.
    """

    expected: Curve
    noise: Curve
    spoilt: float = 0.0
    clips_at: float = 1.0


def disagreement(under: Grid, over: Grid, allowed: Allowed, gate: Mask | None = None) -> Mask:
    """How surely the exposures of a grid show different things, 0..1: from SURE to CERTAIN standard deviations, the
    largest over the channels, times `gate` if there is one.

    They are compared as the brighter exposure shows them: where it clips, all higher values of the darker one agree
    with it, and in the dark the darker one's noise, enlarged by the ratio of light, is allowed for.
    """
    expected = intensity_mapping.at_channels(allowed.expected, under)
    variance = intensity_mapping.at_channels(allowed.noise, under) + np.square(
        np.float32(CONTRAST_PART) * contrast(over)
    )
    if allowed.spoilt:
        brightest = np.minimum(expected, over).max(axis=2, keepdims=True)
        clips = np.clip((brightest / allowed.clips_at - CLIPS_START) / (CLIPS_END - CLIPS_START), 0, 1)
        variance = variance + np.square(np.float32(allowed.spoilt) * clips)
    squares = (np.square(expected - over) / variance).max(axis=2)
    found = np.clip((np.sqrt(squares) - SURE) / (CERTAIN - SURE), 0, 1)
    return np.asarray(found if gate is None else found * gate, np.float32)


def changes(grid: Grid, before: Grid, noise: NDArray[np.float32]) -> Mask:
    """How surely two frames of one exposure show different things, 0..1: from CHANGE_SURE to CHANGE_CERTAIN deviations.

    noise: deviation of one frame's cells at LEVELS equal intervals of the larger value.
    """
    places = np.minimum((np.maximum(grid, before) * np.float32(LEVELS)).astype(np.int32), LEVELS - 1)
    variance = 2 * np.square(noise[places]) + np.square(np.float32(CONTRAST_PART) * contrast(grid))
    squares = (np.square(grid - before) / variance).max(axis=2)
    ramp = (np.sqrt(squares) - CHANGE_SURE) / (CHANGE_CERTAIN - CHANGE_SURE)
    return np.asarray(np.clip(ramp, 0, 1), np.float32)


def allowed_differences(under: Grid, over: Grid, exposures: ExposureMap) -> Allowed:
    """For two pictures by themselves: measured over all channels together. Beside a channel that clips SPOILT_OF_STILLS
    more."""
    expected, noise = _measured(under, over, exposures)
    return Allowed(np.repeat(expected[None], 3, axis=0), np.repeat(noise[None], 3, axis=0), SPOILT_OF_STILLS)


def allowed_by_channel(
    under: Grid,
    over: Grid,
    maps: Sequence[ExposureMap],
    least: Curve,
    changed: Mask | None = None,
    spoilt: float = SPOILT,
) -> Allowed:
    """For frames of a stream: measured channel by channel. least: the variance, by channel, that the noise measured
    over time brings about. changed: how surely a cell has changed, 0..1; what has is not measured, as long as enough
    is left: else a large thing that moves passes for noise at its own levels.
    """
    measured = [_measured(under[..., c], over[..., c], one, changed) for c, one in enumerate(maps)]
    expected, noise = (np.stack(curves) for curves in zip(*measured, strict=True))
    return Allowed(expected, np.maximum(noise, least), spoilt, maps[0].clips_at)


def sampling_step(samples: int) -> int:
    """Every so many cells down and across are measured, of so many samples."""
    return max(1, int(np.sqrt(samples / MOST_SAMPLES)))


def _measured(under: Grid, over: Grid, exposures: ExposureMap, changed: Mask | None = None) -> tuple[Curve, Curve]:
    """Expected value and variance by level: median and spread (from the median of deviations) of the difference between
    the expected and the seen brighter values at each level of the darker one.

    What moves is taken to be less than half of every level. Both are held within what a sensor's noise, a picture's
    coarse codes and a response not quite known can bring about, so that a level where all has moved does not pass for
    noise.
    """
    step = sampling_step(under.size)
    down, across = (slice(min(step // 2, side - 1), None, step) for side in under.shape[:2])  # of a line, the line
    levels, seen = under[down, across].ravel(), over[down, across].ravel()
    if changed is not None:
        still = changed[down, across].ravel() < STILL_BELOW
        if FEWEST_STILL * np.count_nonzero(still) >= len(still):
            levels, seen = levels[still], seen[still]
    parts = min(LEVELS, len(levels))
    # stable: levels that tie would be grouped in another order on other processors, with other medians; whole numbers
    # of 16 bits are sorted several times as quickly
    knots = (levels * np.float32(intensity_mapping.KNOTS) + np.float32(0.5)).astype(np.uint16)
    order = np.argsort(knots, kind="stable")[len(levels) % parts :].reshape(parts, -1)
    middle = order.shape[1] // 2
    difference = (intensity_mapping.nearest(exposures.brighter, levels) - seen)[order]
    medians = np.sort(difference, axis=1)[:, middle]
    spreads = SPREAD_OF_MAD * np.sort(np.abs(difference - medians[:, None]), axis=1)[:, middle]
    centres = levels[order[:, middle]]
    code = CODE * exposures.slope
    most_bias, least_spread, most_spread = 0.05 + code, CODE + 0.25 * code, 0.03 + 2 * code
    bias = np.minimum(np.maximum(np.interp(LEVEL, centres, medians), -most_bias), most_bias)
    spread = np.minimum(np.maximum(np.interp(LEVEL, centres, spreads), least_spread), most_spread)
    return np.minimum(np.maximum(exposures.brighter - bias, 0), 1), np.square(spread)


def contrast(grid: Grid) -> Grid:
    """Largest less smallest value among the 3 x 3 cells around each, by channel."""
    kernel = np.ones((3, 3), np.uint8)
    return np.asarray(cv2.dilate(grid, kernel) - cv2.erode(grid, kernel), np.float32)


def soft_mask(disagreement: Mask, gate: Mask | None = None) -> Mask:
    """Where the reference exposure shall stand alone, 0..1 in 255ths: disagreements, without gaps and a cell wider.
    gate: where exposures have changed, 0..1; None: wide gaps are closed everywhere.
    """
    codes = cv2.convertScaleAbs(disagreement, alpha=255)  # ten times as quick as floats
    whole = cv2.morphologyEx(codes, cv2.MORPH_CLOSE, _square(WIDE_GAP))
    if gate is not None:
        changed = np.asarray(cv2.convertScaleAbs(gate, alpha=255) > 127, np.uint8) * np.uint8(255)
        inside = np.minimum(whole, cv2.erode(changed, _square(INSIDE)))
        whole = np.maximum(inside, cv2.morphologyEx(codes, cv2.MORPH_CLOSE, _square(GAP)))
    return cv2.dilate(whole, _square(WIDER)) * np.float32(1 / 255)


def _square(radius: int) -> NDArray[np.uint8]:
    return np.ones((2 * radius + 1,) * 2, np.uint8)


def wider_mask(masks: Sequence[Mask], cells: int) -> Mask:
    """The largest of some masks, so many cells wider, 0..1 in 255ths."""
    codes = cv2.convertScaleAbs(reduce(np.maximum, masks), alpha=255)
    wider = cv2.dilate(codes, np.ones((2 * cells + 1,) * 2, np.uint8))
    return np.asarray(wider * np.float32(1 / 255), np.float32)
