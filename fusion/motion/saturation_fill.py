"""Fills saturated areas of a brighter reference: estimates what the darker exposure shows there."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.fusion.method import downscale
from livemef.fusion.motion.ghost_mask import Grid, Mask

Values = NDArray[np.floating[Any]]

CLIP_START, CLIP_END = 0.92, 0.97
"""Parts of the encoded value at which exposures clip (`clips_at`) between which a pixel of the brighter one comes to be
taken for clipped: beside what clips, a codec's ringing reaches down to there, and many values of the darker one hide
behind the last few codes."""
LEAST_FILL = 1e-3
LIKE = 0.25
"""Part by which a pixel's values may differ from one moment to the other for it to be taken for the same thing."""
LINES = 45
"""Of the fill, along the shorter side."""
RADII = (1, 3, 9)
FARTHER = 0.02
"""Weight of each radius over the one before."""


def behind_clipping(reference: Grid, other: Grid, mask: Mask, clips_at: float = 1.0) -> Grid | None:
    """The fill (LINES down or across x 3, encoded 0..1): what the darker exposure shows nearby where the brighter one
    clips and nothing moved; None if not needed.

    It stands for what has come into view there. The exposures are small pictures, the mask is of the grid.
    """
    mask = downscale.mean_cells(mask, *reference.shape[:2])
    clips, replaced = cv2.inRange(reference, (0.0, 0.0, 0.0), (CLIP_START * clips_at,) * 3) == 0, mask > 0
    if not (clips & replaced).any():
        return None
    known = (clips & ~replaced).view(np.uint8)
    with_part = cv2.cvtColor(other, cv2.COLOR_BGR2BGRA)  # the fourth channel: the part that is known
    seen = np.asarray(cv2.copyTo(with_part, known), np.float32)
    seen = downscale.mean_cells(seen, *downscale.small_shape(mask.shape[0], mask.shape[1], LINES))
    total = np.zeros(seen.shape, np.float32)
    for step, radius in enumerate(RADII):
        window = (2 * radius + 1, 2 * radius + 1)
        near = np.asarray(cv2.boxFilter(seen, -1, window, borderType=cv2.BORDER_REPLICATE), np.float32)
        total += np.float32(FARTHER**step) * near
    part = cv2.cvtColor(np.maximum(total[..., 3], 1e-6), cv2.COLOR_GRAY2BGR)
    return np.asarray(cv2.cvtColor(total, cv2.COLOR_BGRA2BGR) / part, np.float32)


def with_fill(made: Values, fill: Values, reference: Values, there: Values, clips_at: float = 1.0) -> Values:
    """Values ... x 3 of the darker exposure, encoded 0..1, where the reference, the brighter one, may clip.

    made: estimated from the reference by the intensity mapping. there: the darker exposure itself, of another moment.
    fill: estimated from unsaturated surroundings. A clipped channel is `made` or more: if `there` shows about the same
    (and would have clipped in the reference too) it is taken from there, else from the fill, limited by the channels
    that do not clip.
    """
    clips = np.clip((reference / clips_at - CLIP_START) / (CLIP_END - CLIP_START), 0, 1)
    bright = np.min(clips + (1 - clips) * made / np.maximum(fill, LEAST_FILL), axis=-1, keepdims=True)
    more = (there - made) / np.maximum(made, LEAST_FILL)
    differs = np.where(more < 0, -more, (1 - clips) * more)  # a channel that clips may have been brighter
    stays = 1 - np.minimum(differs.max(axis=-1, keepdims=True) / LIKE, 1)
    behind = stays * there + (1 - stays) * np.minimum(bright, 1) * fill
    return np.asarray(made + clips * np.maximum(behind - made, 0))
