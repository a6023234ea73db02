"""Black surrounds of a picture: letterbox and pillarbox bars, the dark around the round picture of a fisheye lens or an
endoscope.

They are no part of the scene, but the network takes them for one that is mostly dark, and brightens what is inside by
4 to 15 L*. So it gets small pictures in which they are filled from what lies inside, and its result there is what the
brightest exposure shows. All of it is continuous in every pixel: a scene that fades in or out inside its bars makes no
jump.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livemef.fusion.method import chroma_map, drift, guided_upsampling

Plane = NDArray[np.floating[Any]]

BLACK_RAMP = (1.0, 2.0)
"""L* (4 and 7 codes of 255) of the brightest exposure between which a pixel stops being black. No corner of a night
scene is as dark in all of 50 clips and 60 series; pure black with a sensor's or codec's noise is."""

SURE = 0.1
"""Part from which on a surround is as the brightest exposure shows it: what is half filled would glow."""

LEAST_SEEN = 1e-4
"""Part of a picture inside a surround, so that nothing is divided by 0 where all of it is black."""


def surround(brightest: Plane) -> Plane | None:
    """Part (h x w, 0..1) that is black surround, from the brightest exposure's L* (0..100); None if there is none.

    Black is what is dark along its row or column as far as the border, and only if all four corners are so as well:
    a night sky or a dark wall mostly leaves one of them free.
    """
    brightest_corner = max(brightest[0, 0], brightest[0, -1], brightest[-1, 0], brightest[-1, -1])
    if brightest_corner >= BLACK_RAMP[1]:
        return None
    black, onward = 1 - chroma_map.ramp(*BLACK_RAMP, brightest), np.minimum.accumulate
    across = np.maximum(onward(black, 1), onward(black[:, ::-1], 1)[:, ::-1])
    down = np.maximum(onward(black, 0), onward(black[::-1], 0)[::-1])
    framed = 1 - chroma_map.ramp(*BLACK_RAMP, brightest_corner)
    return np.asarray(np.minimum(np.maximum(across, down), framed))


def filled(lights: Sequence[Plane], part: Plane) -> list[Plane]:
    """The exposures' planes with the mean of what lies inside nearby, and a little of all, in `part`, their surround.

    The window is that of `drift`.
    """
    inside = np.stack([*((1 - part) * light for light in lights), 1 - part], axis=-1).astype(np.float64)
    (radius,) = drift.RADII
    *sums, seen = np.moveaxis(guided_upsampling.box_mean(inside, radius) + drift.FALL * inside.mean(axis=(0, 1)), -1, 0)
    fills = (total / (seen + LEAST_SEEN) for total in sums)
    return [np.asarray(light + part * (fill - light)) for light, fill in zip(lights, fills, strict=True)]


def restored(fused: Plane, brightest: Plane, part: Plane) -> Plane:
    """The network's lightness (0..1), but in the surround that of the brightest exposure (L*, 0..100)."""
    return np.asarray(fused + np.minimum(part / SURE, 1) * (brightest / 100 - fused))
