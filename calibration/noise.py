"""Photon transfer: read noise, gain and full well from how the noise grows with the light.

Janesick, "Photon Transfer", SPIE 2007; EMVA Standard 1288. Shot noise has the variance of the electrons it is made of,
so the slope of variance over signal is the gain, and what is left without signal is the read noise. It needs the noise
that the sensor made: raw or at least linear pictures (response "linear") give it; a camera that denoises shows less.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.drawing import CHANNELS, Axes, Picture
from calibration.errors import CalibrationError
from calibration.mosaic import at_native_sites, native_sites
from calibration.profile import NoiseSection, ResponseSection, ThreeChannels, now
from calibration.response import curve_for
from calibration.source import Stack

Values = NDArray[np.float64]

FEWEST_FRAMES = 8
TONES = 8
"""Groups of pixels of like brightness in each exposure; each gives one point."""
_WHOLE = 4.0
"""Standard deviations that a signal keeps off code 0 and off white, where noise is cut off."""
_LEAST_POINTS = 6
_BORDER = 2
"""Rows and columns at the edge that demosaicking may have filled from their neighbours."""
_FIT_TURNS = 5


@dataclass(frozen=True)
class Point:
    """Signal and temporal variance (light 1 = highest code) of `pixels` alike pixels of a channel."""

    signal: float
    variance: float
    pixels: int


def measure_noise(stacks: Iterable[Stack], response: ResponseSection | None) -> tuple[NoiseSection, list[list[Point]]]:
    """From stacks of rising exposure of a still scene; the result comes with the points of each channel.

    Raises CalibrationError for too few frames, or for exposures that tell too little.
    """
    taken = list(stacks)
    brightest = max(taken, key=_unclipped_brightness)
    if min(stack.frames for stack in taken) < 2:
        raise CalibrationError("each exposure needs two frames or more, since noise is how they differ")
    native = native_sites(brightest.variance)
    points: list[list[Point]] = [[], [], []]
    for stack in taken:
        for channel, found in enumerate(_points(stack, native, response)):
            points[channel] += found
    fits = []
    for name, channel_points in zip(("blue", "green", "red"), points, strict=True):
        if len(channel_points) < _LEAST_POINTS:
            raise CalibrationError(
                f"{name}: {len(channel_points)} exposures tell of the noise: a wider range is needed"
            )
        fits.append(_fit_line(channel_points))
    slopes, offsets, residuals = np.array(fits).T
    if slopes.min() <= 0:
        raise CalibrationError("the noise does not grow with the light: is the picture denoised?")
    span = (brightest.white - (brightest.black if brightest.record.response == "linear" else 0)) * brightest.full_range
    read = np.sqrt(np.maximum(offsets, 0)) / slopes
    section = NoiseSection(
        date=now(),
        gain=brightest.exposure.gain,
        codes_per_electron=_three(slopes * span),
        read_noise_e=_three(read),
        full_well_e=_three(1 / slopes),
        dynamic_range_stops=_three(np.log2(1 / slopes / np.maximum(read, 0.1))),
        residual=float(f"{np.max(residuals):.4g}"),
    )
    return section, points


def _unclipped_brightness(stack: Stack) -> float:
    return float(stack.mean.mean()) if np.percentile(stack.mean, 99) < 0.95 * stack.white else -1.0


def _points(stack: Stack, native: NDArray[np.bool_], response: ResponseSection | None) -> list[list[Point]]:
    """Of each channel, TONES points, but none where noise is cut off at code 0 or white."""
    curve = curve_for(stack, response)
    slope, light = curve.slope(stack.mean), curve.light(stack.mean)
    sites = at_native_sites(native, *stack.mean.shape[:2])
    sites[:_BORDER] = sites[-_BORDER:] = sites[:, :_BORDER] = sites[:, -_BORDER:] = False
    result = []
    for channel in range(3):
        here = sites[..., channel]
        codes, variances = stack.mean[..., channel][here], stack.variance[..., channel][here]
        step = _code_step(stack, here, channel)
        order = np.argsort(codes, kind="stable")
        found = []
        for part in np.array_split(order, TONES):
            deviation = float(np.mean(variances[part])) ** 0.5
            low, high = float(codes[part[0]]), float(codes[part[-1]])
            if low - _WHOLE * deviation <= 0 or high + _WHOLE * deviation >= stack.white:
                continue
            scale = slope[..., channel][here][part]
            variance = float(np.mean((variances[part] - step**2 / 12) * scale**2))
            found.append(Point(float(np.mean(light[..., channel][here][part])), variance, len(part)))
        result.append(found)
    return result


def _code_step(stack: Stack, sites: NDArray[np.bool_], channel: int) -> float:
    """Distance between the codes that occur: a 12-bit converter's in a 16-bit picture."""
    codes = np.unique(stack.first[..., channel][sites])
    step = int(np.gcd.reduce(codes - codes[0])) if len(codes) > 1 else 1
    return max(step, 1) / stack.full_range


def _fit_line(points: list[Point]) -> tuple[float, float, float]:
    """Slope and value at 0 of variance over signal, and the relative RMS misfit; each point weighs by its certainty."""
    signal = np.array([point.signal for point in points])
    variance = np.array([point.variance for point in points])
    pixels = np.array([point.pixels for point in points])
    expected = np.maximum(variance, 1e-12)
    for _ in range(_FIT_TURNS):
        weight = np.sqrt(pixels) / expected
        slope, offset = np.linalg.lstsq(
            np.stack([signal, np.ones_like(signal)], axis=1) * weight[:, None], variance * weight, rcond=None
        )[0]
        expected = np.maximum(slope * signal + max(offset, 0.0), 1e-12)
    return float(slope), float(offset), float(np.sqrt(np.mean((variance / expected - 1) ** 2)))


def _three(values: Values) -> ThreeChannels:
    blue, green, red = (float(f"{value:.5g}") for value in values)
    return blue, green, red


def draw(section: NoiseSection, points: list[list[Point]]) -> Picture:
    """Noise over signal, both in electrons, doubly logarithmic."""
    most = float(max(section.full_well_e))
    lowest = 10.0 ** np.floor(np.log10(max(min(section.read_noise_e), 0.1) / 2))
    read, well = section.read_noise_e[1], section.full_well_e[1]
    axes = Axes(
        f"photon transfer: read noise {read:.2f} e, full well {well:.0f} e (green)",
        "signal, electrons",
        "noise, electrons",
        (1.0, most * 1.5),
        (lowest, most**0.5 * 3),
        log=True,
    )
    for channel, colour in enumerate(CHANNELS):
        well = section.full_well_e[channel]
        shown = [point for point in points[channel] if point.signal > 0 and point.variance > 0]
        axes.points([point.signal * well for point in shown], [point.variance**0.5 * well for point in shown], colour)
        line = np.geomspace(1, most, 100)
        axes.line(line, np.sqrt(line + section.read_noise_e[channel] ** 2), colour)
    return axes.picture
