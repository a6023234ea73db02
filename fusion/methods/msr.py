"""Multi-scale retinex for two or more exposures: the "conventional MSR" that livemef's paper compares with.

Jobson, Rahman, Woodell, "A multiscale retinex for bridging the gap between color images and the human observation of
scenes", IEEE TIP 6(7), 1997, in the luminance form and with the constants of Petro, Sbert, Morel, "Multiscale retinex",
IPOL 2014: scales 15, 80, 250 pixels (standard deviations), equal weights, symmetric borders, 1 % clipped at either end.
How a method for one picture is applied to several exposures is our reading; there are two variants.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from livemef.capture.frame import Pixels
from livemef.fusion.methods.checks import check_exposures, to_uint8

Plane = NDArray[np.float64]

_SCALES = (15.0, 80.0, 250.0)
_CLIPPED_PERCENT = 1.0
_LARGEST_GAIN = 3.0


def fuse_average(exposures: Sequence[Pixels]) -> Pixels:
    """Reading A: retinex of the exposures' average.

    exposures: two or more HxWx3 BGR uint8 of one size, dark to bright. Returns HxWx3 BGR uint8. Raises FusionError
    for anything else.
    """
    check_exposures(exposures)
    average = _average(exposures)
    return _coloured(average, _balanced(retinex(average.mean(axis=2))))


def fuse_details(exposures: Sequence[Pixels]) -> Pixels:
    """Reading B: the average of the exposures' retinex layers, coloured by the exposures' average.

    exposures: two or more HxWx3 BGR uint8 of one size, dark to bright. Returns HxWx3 BGR uint8. Raises FusionError
    for anything else.
    """
    check_exposures(exposures)
    layers = [retinex(picture.mean(axis=2)) for picture in exposures]
    return _coloured(_average(exposures), _balanced(np.asarray(np.mean(layers, axis=0))))


def retinex(grey: Plane) -> Plane:
    """Mean over the scales of log(I) - log(surround of I), I = grey + 1, grey HxW in codes 0..255."""
    guarded = grey + 1.0
    layers = [np.log(guarded) - np.log(surround(guarded, sigma)) for sigma in _SCALES]
    return np.asarray(np.mean(layers, axis=0))


def surround(plane: Plane, sigma: float) -> Plane:
    """Gaussian blur of standard deviation `sigma` pixels with symmetric borders, exact at any sigma (by Fourier)."""
    return _blur_rows(np.ascontiguousarray(_blur_rows(plane, sigma).T), sigma).T


def _blur_rows(plane: Plane, sigma: float) -> Plane:
    mirrored = np.concatenate([plane, plane[:, ::-1]], axis=1)
    length = mirrored.shape[1]
    frequency = 2 * np.pi * np.arange(length // 2 + 1) / length
    spectrum = np.fft.rfft(mirrored, axis=1) * np.exp(-0.5 * (sigma * frequency) ** 2)
    return np.asarray(np.fft.irfft(spectrum, length, axis=1)[:, : plane.shape[1]])


def _average(exposures: Sequence[Pixels]) -> Plane:
    return np.asarray(np.mean([picture.astype(np.float64) for picture in exposures], axis=0))


def _balanced(plane: Plane) -> Plane:
    """Simplest colour balance: stretched to 0..255 with the same share of pixels clipped at either end."""
    low, high = np.percentile(plane, [_CLIPPED_PERCENT, 100 - _CLIPPED_PERCENT])
    if high <= low:
        return np.full_like(plane, 127.5)
    return np.asarray(np.clip((plane - low) * 255 / (high - low), 0, 255))


def _coloured(picture: Plane, grey: Plane) -> Pixels:
    """The picture (H x W x 3), each pixel scaled to the given grey, with limited gains: no channel leaves 0..255."""
    gain = np.minimum(grey / np.maximum(picture.mean(axis=2), 1.0), _LARGEST_GAIN)
    gain = np.minimum(gain, 255 / np.maximum(picture.max(axis=2), 1.0))
    return to_uint8(picture * gain[..., np.newaxis])
