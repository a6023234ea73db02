"""How sharp a slanted edge is: its spatial frequency response (SFR), after ISO 12233 with fourfold oversampling.

Peter D. Burns, "Slanted-Edge MTF for Digital Camera and Scanner Analysis" (PICS 2000), with a tapered window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from livemef.calibration.errors import CalibrationError

Values = NDArray[np.float64]

OVERSAMPLING = 4
NYQUIST = 0.5
"""Cycles per pixel."""
LEAST_SIDE = 20
LEAST_CONTRAST = 0.05
"""Of linear light, 1 = white, between the two sides of the edge."""
LEAST_TILT, MOST_TILT = 1.5, 20.0
"""Degrees; an edge along the pixels' grid shows no sub-pixel steps, a steeper one leaves few rows."""


@dataclass(frozen=True)
class EdgeQuality:
    """What an edge shows. Frequencies in cycles per pixel along the edge's normal.

    mtf50, mtf10: where the response has fallen to 50 % and 10 %. sampling_efficiency: mtf10 over the Nyquist frequency,
    at most 1. largest: of the response up to Nyquist; above 1 the picture was sharpened. misregistration_px: the
    largest shift of blue or red against green. tilt_degrees: of the edge against the grid.
    """

    mtf50: float
    mtf10: float
    sampling_efficiency: float
    largest: float
    misregistration_px: float
    tilt_degrees: float


def measure_edge(light: Values) -> EdgeQuality:
    """Quality of the one edge in a region: linear light, height x width x 3 (BGR), edge roughly upright or lying.

    Raises CalibrationError for a region that is too small, holds no clear edge, or one along the grid.
    """
    region = np.asarray(light, np.float64)
    if min(region.shape[:2]) < LEAST_SIDE:
        raise CalibrationError(f"the region of the edge is smaller than {LEAST_SIDE} x {LEAST_SIDE} pixels")
    green = region[..., 1]
    if np.abs(np.diff(green.mean(axis=1))).sum() > np.abs(np.diff(green.mean(axis=0))).sum():
        region, green = region.transpose(1, 0, 2), green.T
    sides = np.sort(green.mean(axis=0))
    if abs(sides[-3] - sides[2]) < LEAST_CONTRAST:
        raise CalibrationError("there is no clear edge in the region: mark one between a dark and a bright area")
    slope, _ = edge_line(green)
    tilt = math.degrees(math.atan(abs(slope)))
    if not LEAST_TILT <= tilt <= MOST_TILT:
        raise CalibrationError(
            f"the edge is tilted by {tilt:.1f} degrees against the pixels' grid: "
            f"{LEAST_TILT:g} to {MOST_TILT:g} are needed"
        )
    frequencies, response = spatial_frequency_response(green)
    mtf10 = crossing(frequencies, response, 0.1)
    return EdgeQuality(
        mtf50=crossing(frequencies, response, 0.5),
        mtf10=mtf10,
        sampling_efficiency=min(mtf10 / NYQUIST, 1.0),
        largest=float(response[frequencies <= NYQUIST].max()),
        misregistration_px=max(abs(shift) for shift in misregistration(region)),
        tilt_degrees=tilt,
    )


def edge_line(plane: Values) -> tuple[float, float]:
    """Slope and place of a roughly upright edge: x = slope y + place, in pixels.

    In each row the centroid of the derivative, then a line through them; three times, with an ever narrower window.
    """
    height, width = plane.shape
    x, y = np.arange(width - 1) + 0.5, np.arange(height)
    derivative = np.abs(np.diff(plane, axis=1))
    centres, spread = np.full(height, width / 2), width / 4
    for _ in range(3):
        window = derivative * np.exp(-0.5 * ((x - centres[:, None]) / spread) ** 2)
        centroids = (window * x).sum(axis=1) / np.maximum(window.sum(axis=1), 1e-12)
        slope, place = np.polyfit(y, centroids, 1)
        centres, spread = slope * y + place, width / 10
    return float(slope), float(place)


def spatial_frequency_response(plane: Values) -> tuple[Values, Values]:
    """Frequencies (cycles per pixel along the normal) and the modulation there, 1 at frequency 0."""
    height, width = plane.shape
    slope, place = edge_line(plane)
    period = max(1, round(1 / abs(slope)))
    rows = height - height % period if height >= period else height  # whole steps of the edge weigh all phases alike
    distance = np.arange(width)[None] - (place + slope * np.arange(rows))[:, None]
    bins = np.floor(distance * math.cos(math.atan(slope)) * OVERSAMPLING).astype(int)
    bins -= bins.min()
    count = np.bincount(bins.ravel())
    total = np.bincount(bins.ravel(), plane[:rows].ravel())
    profile = np.interp(np.arange(len(count)), np.flatnonzero(count), total[count > 0] / count[count > 0])
    profile = profile[len(profile) // 20 : len(profile) - len(profile) // 20]  # few samples at the ends
    spread = np.convolve(profile, [0.5, 0, -0.5], "same")
    spread[0] = spread[-1] = 0
    peak = int(np.argmax(np.abs(spread)))
    half = min(peak, len(spread) - 1 - peak)
    spread = spread[peak - half : peak + half + 1] * np.hamming(2 * half + 1)
    response = np.abs(np.fft.rfft(spread))
    frequencies = np.asarray(np.fft.rfftfreq(len(spread), 1 / OVERSAMPLING), np.float64)
    return frequencies, response / response[0] * _of_the_derivative(frequencies)


def _of_the_derivative(frequencies: Values) -> Values:
    """What the three-point derivative takes away, at most tenfold."""
    angle = 2 * math.pi * frequencies / OVERSAMPLING
    return np.asarray(np.where(angle > 0, np.minimum(angle / np.maximum(np.sin(angle), 1e-9), 10), 1.0))


def crossing(frequencies: Values, response: Values, level: float) -> float:
    """The first frequency at which the response falls below `level`, interpolated; the last one if it never does."""
    below = np.flatnonzero(response < level)
    if not len(below) or below[0] == 0:
        return float(frequencies[-1])
    after = int(below[0])
    before = after - 1
    part = (response[before] - level) / (response[before] - response[after])
    return float(frequencies[before] + part * (frequencies[after] - frequencies[before]))


def misregistration(light: Values) -> tuple[float, float]:
    """Shift of blue and of red against green across a roughly upright edge, in pixels."""
    middle = light.shape[0] / 2
    blue, green, red = (np.polyval(edge_line(light[..., channel]), middle) for channel in range(3))
    return float(blue - green), float(red - green)
