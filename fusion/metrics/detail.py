"""Metrics of detail: entropy, average gradient, spatial frequency, and transfer of the exposures' edges.

All are means over the three channels, as the MEFB benchmark (Zhang, Information Fusion 74, 2021) computes them; they
reproduce the values that it publishes (Q^AB/F to 3e-4: MEFB treats exactly equal gradients differently).
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.capture.frame import Pixels

Plane = NDArray[np.float64]

_STRENGTH = (0.9994, -15.0, 0.5)
_ORIENTATION = (0.9879, -22.0, 0.8)
"""Height, steepness and centre of the sigmoids of Q^AB/F."""


def entropy(picture: Pixels) -> float:
    """Shannon entropy of the codes in bits, 0..8. picture: HxWx3 uint8."""
    return float(np.mean([_entropy(channel) for channel in cv2.split(picture)]))


def _entropy(channel: Pixels) -> float:
    share = np.bincount(channel.ravel(), minlength=256) / channel.size
    share = share[share > 0]
    return float(-(share * np.log2(share)).sum())


def average_gradient(picture: Pixels) -> float:
    """Mean of sqrt((dx^2 + dy^2) / 2) of central differences, in codes a pixel (Cui et al. 2015). HxWx3 uint8."""
    down, across = np.gradient(picture.astype(np.float64), axis=(0, 1))
    height, width, channels = picture.shape
    return float(np.sqrt((down**2 + across**2) / 2).sum() / ((height - 1) * (width - 1) * channels))


def spatial_frequency(picture: Pixels) -> float:
    """Root of the summed mean squares of row and column differences, codes (Eskicioglu, Fisher 1995). HxWx3 uint8."""
    values = picture.astype(np.float64)
    size = picture.shape[0] * picture.shape[1]
    rows = (np.diff(values, axis=1) ** 2).sum(axis=(0, 1)) / size
    columns = (np.diff(values, axis=0) ** 2).sum(axis=(0, 1)) / size
    return float(np.sqrt(rows + columns).mean())


def edge_transfer(exposures: Sequence[Pixels], fused: Pixels) -> float:
    """Q^AB/F of Xydeas and Petrovic (Electronics Letters 36(4), 2000): share of the sources' edges kept, 0..1.

    exposures: HxWx3 uint8, any number; fused likewise. NaN if no source has an edge.
    """
    scores = [
        _edge_transfer([exposure[..., channel] for exposure in exposures], fused[..., channel]) for channel in range(3)
    ]
    return float(np.mean(scores))


def _edge_transfer(sources: Sequence[Pixels], fused: Pixels) -> float:
    fused_strength, fused_angle = _edges(fused)
    kept = total = 0.0
    for source in sources:
        strength, angle = _edges(source)
        larger = np.maximum(strength, fused_strength)
        ratio = np.minimum(strength, fused_strength) / np.maximum(larger, 1e-300)
        alignment = 1 - np.abs(angle - fused_angle) / (np.pi / 2)
        quality = _sigmoid(ratio, *_STRENGTH) * _sigmoid(alignment, *_ORIENTATION)
        kept += float((quality * strength).sum())
        total += float(strength.sum())
    return kept / total if total > 0 else float("nan")


def _edges(channel: Pixels) -> tuple[Plane, Plane]:
    values = channel.astype(np.float64)
    across = cv2.Sobel(values, cv2.CV_64F, 1, 0, borderType=cv2.BORDER_CONSTANT)
    down = cv2.Sobel(values, cv2.CV_64F, 0, 1, borderType=cv2.BORDER_CONSTANT)
    flat = across == 0
    angle = np.where(flat, np.pi / 2, np.arctan(-down / np.where(flat, 1.0, across)))
    return np.hypot(across, down), angle


def _sigmoid(values: Plane, height: float, steepness: float, centre: float) -> Plane:
    return np.asarray(height / (1 + np.exp(steepness * (values - centre))))
