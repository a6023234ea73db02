"""MITM, which generates training targets: our reading, a multi-scale switched retinex.

Go, Lee, Lee, Mathematics 2024, 12(20), 3244, and its group's JKIIT 2024 22(5), of which only the abstracts
could be read: at every scale the retinex detail of the exposure that has more of it is taken by a smoothed
switching map; the surround is that of an estimated middle exposure (here the geometric mean of the two, where
the paper learns a translation), compressed. Defined for two exposures: more than two are fused as their
darkest and brightest.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.capture.frame import LUMA_WEIGHTS, Pixels
from livemef.fusion.methods.checks import check_exposures, to_uint8

SIGMAS = (15.0, 80.0, 250.0)
"""Surround scales in pixels at a short side of 512."""
COMPRESSION = 0.35
"""Compression exponent of the surround: 0 is pure retinex (grey), 1 no compression."""
WELL_EXPOSED, WELL_EXPOSED_SIGMA = 0.5, 0.2
GUARD = 8.0
"""Added to luma (codes) before the logarithm, so that noise in the dark is not taken for detail."""
STRETCH_PERCENTILES = (1.0, 99.0)

Plane = NDArray[np.float32]


def fuse(exposures: Sequence[Pixels]) -> Pixels:
    """Fuse the darkest and the brightest exposure.

    exposures: two or more HxWx3 BGR uint8, dark to bright. Returns HxWx3 BGR uint8: the exposures mixed by the
    mean switching map, scaled to the fused luma. Raises FusionError for anything else.
    """
    check_exposures(exposures)
    dark, bright = exposures[0].astype(np.float32), exposures[-1].astype(np.float32)
    fused, take_dark = _fuse_luma(_luma(dark), _luma(bright))
    mixed = take_dark[..., None] * dark + (1.0 - take_dark[..., None]) * bright
    return to_uint8(mixed * ((fused + 1.0) / (_luma(mixed) + 1.0))[..., None])


def fused_luma(exposures: Sequence[Pixels]) -> Plane:
    """The fused luma alone, HxW float32 in 0..255 (sRGB-encoded grey), of the darkest and the brightest exposure."""
    check_exposures(exposures)
    dark, bright = exposures[0].astype(np.float32), exposures[-1].astype(np.float32)
    return _fuse_luma(_luma(dark), _luma(bright))[0]


def _luma(pixels: NDArray[np.float32]) -> Plane:
    return np.asarray(pixels @ np.array(LUMA_WEIGHTS, np.float32))


def _fuse_luma(dark: Plane, bright: Plane) -> tuple[Plane, Plane]:
    """Fused luma in 0..255 and the mean switching map (1: all from `dark`)."""
    scale = min(dark.shape) / 512.0
    layers = [_layer(dark, bright, max(1.0, sigma * scale)) for sigma in SIGMAS]
    fused = np.mean([layer for layer, _ in layers], axis=0)
    switch = np.mean([switch for _, switch in layers], axis=0)
    return _stretch(10.0**fused - GUARD), switch.astype(np.float32)


def _layer(dark: Plane, bright: Plane, sigma: float) -> tuple[Plane, Plane]:
    """One scale: switched detail plus compressed middle surround, in log10 of luma, and the switching map."""
    sigma_map = max(2.0, sigma / 8.0)
    detail_dark, surround_dark = _retinex(dark, sigma)
    detail_bright, surround_bright = _retinex(bright, sigma)
    takes = _energy(dark, detail_dark, sigma_map) > _energy(bright, detail_bright, sigma_map)
    switch = _blur(takes.astype(np.float32), sigma_map)
    detail = switch * detail_dark + (1.0 - switch) * detail_bright
    surround = 0.5 * (surround_dark + surround_bright)  # of the middle exposure: a switched one inverts tones
    mean = surround.mean()
    return detail + mean + COMPRESSION * (surround - mean), switch


def _retinex(luma: Plane, sigma: float) -> tuple[Plane, Plane]:
    surround = np.log10(_blur(luma, sigma) + GUARD)
    return np.log10(luma + GUARD) - surround, surround


def _energy(luma: Plane, detail: Plane, sigma: float) -> Plane:
    """Local energy of an exposure's detail (H x W), reduced to zero where the exposure clips."""
    well_exposed = np.exp(-0.5 * ((luma / 255.0 - WELL_EXPOSED) / WELL_EXPOSED_SIGMA) ** 2)
    return _blur(np.abs(detail), sigma) * _blur(well_exposed, sigma)


def _stretch(values: Plane) -> Plane:
    low, high = np.percentile(values, STRETCH_PERCENTILES)
    stretched = (values - low) * (255.0 / max(high - low, 1e-6))
    return np.asarray(np.clip(stretched, 0.0, 255.0), np.float32)


def _blur(plane: Plane, sigma: float) -> Plane:
    """Gaussian blur; a large one is computed on a smaller picture, for speed."""
    factor = max(1, int(sigma / 4.0))
    height, width = plane.shape
    if factor == 1:
        return np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma, borderType=cv2.BORDER_REFLECT), np.float32)
    size = (max(1, round(width / factor)), max(1, round(height / factor)))
    small = cv2.resize(plane, size, interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(small, (0, 0), sigma / factor, borderType=cv2.BORDER_REFLECT)
    return np.asarray(cv2.resize(blurred, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
