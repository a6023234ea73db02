"""Photon transfer: read noise, system gain and full well from temporal noise over signal.

Janesick, "Photon Transfer", SPIE 2007; EMVA Standard 1288. The variance of shot noise is the number of electrons, so
the slope of variance over signal is the gain, and the variance at zero signal is that of the read noise. It needs the
sensor's own noise: raw or at least linear pictures (response "linear"); denoising in the camera falsifies it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from livemef.calibration.drawing import CHANNELS, Axes, Picture
from livemef.calibration.errors import CalibrationError
from livemef.calibration.mosaic import native_sites
from livemef.calibration.profile import NoiseSection, ResponseSection, ThreeChannels, now
from livemef.calibration.response import curve_for
from livemef.calibration.source import Stack
from livemef.capture.frame import Pixels

Values = NDArray[np.float64]
Site = tuple[int, int, int]
"""Row and column in a cell of 2 x 2, and channel."""

TONES = 8
"""Groups of pixels of similar brightness in each exposure; each gives one point."""
_WHOLE = 4.0
"""Distance of a signal from code 0 and from white, in standard deviations: nearer, noise is clipped."""
_LEAST_POINTS = 6
_BORDER = 2
"""Rows and columns at the edge that demosaicking may have filled from their neighbours; even, for the cells' sake."""
_FIT_TURNS = 5


@dataclass(frozen=True)
class Point:
    """Signal and temporal variance (light 1 = highest code) of `pixels` similar pixels of a channel."""

    signal: float
    variance: float
    pixels: int


def measure_noise(stacks: Iterable[Stack], response: ResponseSection | None) -> tuple[NoiseSection, list[list[Point]]]:
    """Measure from stacks of rising exposure of a static scene; returns the section and the points of each channel.

    Raises CalibrationError for too few frames, or too small a range of exposures.
    """
    by_site: dict[Site, list[Point]] = {site: [] for site in itertools.product((0, 1), (0, 1), range(3))}
    brightest: Stack | None = None
    for stack in stacks:  # one at a time: a stack of a large sensor is large
        if stack.frames < 2:
            raise CalibrationError("each exposure needs two frames or more, since noise is how they differ")
        if brightest is None or _unclipped_brightness(stack) > _unclipped_brightness(brightest):
            brightest = stack
        for site, points in _points(stack, response).items():
            by_site[site] += points
    assert brightest is not None
    native = native_sites(brightest.variance)
    of_channels = [
        [p for site, part in by_site.items() if site[2] == c and native[site] for p in part] for c in range(3)
    ]
    for name, points in zip(("blue", "green", "red"), of_channels, strict=True):
        if len(points) < _LEAST_POINTS:
            raise CalibrationError(
                f"{name}: {len(points)} usable measurements of the noise: a wider range of exposures is needed"
            )
    slopes, offsets, residuals = np.array([_fit_line(points) for points in of_channels]).T
    if slopes.min() <= 0:
        raise CalibrationError("the noise does not grow with the light: is the picture denoised?")
    black = brightest.black if brightest.record.response == "linear" else 0.0
    read = np.sqrt(np.maximum(offsets, 0)) / slopes
    section = NoiseSection(
        date=now(),
        gain=brightest.exposure.gain,
        codes_per_electron=_three(slopes * (brightest.white - black) * brightest.full_range),
        read_noise_e=_three(read),
        full_well_e=_three(1 / slopes),
        dynamic_range_stops=_three(np.log2(1 / slopes / np.maximum(read, 0.1))),
        residual=float(f"{np.max(residuals):.4g}"),
    )
    return section, of_channels


def _unclipped_brightness(stack: Stack) -> float:
    return float(stack.mean.mean()) if np.percentile(stack.mean, 99) < 0.95 * stack.white else -1.0


def _points(stack: Stack, response: ResponseSection | None) -> dict[Site, list[Point]]:
    """TONES points for each site, without those where noise is clipped at code 0 or white."""
    curve = curve_for(stack, response)
    inside = slice(_BORDER, -_BORDER)
    means, variances = stack.mean[inside, inside], stack.variance[inside, inside]
    first, light, slope = stack.first[inside, inside], curve.light(means), curve.slope(means)
    result: dict[Site, list[Point]] = {}
    for y, x, channel in itertools.product((0, 1), (0, 1), range(3)):
        here = slice(y, None, 2), slice(x, None, 2), channel
        codes, noise, scale = means[here].ravel(), variances[here].ravel(), slope[here].ravel()
        rounding = _code_step(first[here], stack.full_range) ** 2 / 12
        found = []
        for part in np.array_split(np.argsort(codes, kind="stable"), TONES):
            margin = _WHOLE * float(np.mean(noise[part])) ** 0.5
            if codes[part[0]] - margin > 0 and codes[part[-1]] + margin < stack.white:
                variance = float(np.mean((noise[part] - rounding) * scale[part] ** 2))
                found.append(Point(float(np.mean(light[here].ravel()[part])), variance, len(part)))
        result[y, x, channel] = found
    return result


def _code_step(pixels: Pixels, full_range: int) -> float:
    """Distance between the codes that occur: a 12-bit converter's in a 16-bit picture."""
    codes = np.unique(pixels)
    step = int(np.gcd.reduce(codes - codes[0])) if len(codes) > 1 else 1
    return max(step, 1) / full_range


def _fit_line(points: list[Point]) -> tuple[float, float, float]:
    """Slope and offset of variance over signal, weighted by the points' uncertainty, and the relative RMS misfit."""
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
