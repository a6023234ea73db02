"""The camera's response curve, from codes to light, and the true exposure times.

After Debevec and Malik ("Recovering High Dynamic Range Radiance Maps from Photographs", SIGGRAPH 1997): a static scene,
many exposures, and one curve that maps them all to the same radiance. Unlike theirs, the curve is fitted from light to
codes, so that the errors are the camera's (in codes, 8 or 16 bits) and the code without light needs no logarithm; and
the time that a sensor adds to every exposure is fitted as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from livemef.calibration.drawing import CHANNELS, GREY, Axes, Picture
from livemef.calibration.errors import CalibrationError
from livemef.calibration.profile import ResponseSection, now
from livemef.calibration.source import Codes, Stack
from livemef.capture.frame import Exposure
from livemef.fusion.method.colour import decode

Values = NDArray[np.float64]

BLOCK = 8
"""Side, in pixels, of the squares whose means are the samples."""
SAMPLES = 96
TABLE = 257
"""Entries of the table that is stored."""
LEAST_COVERED = 0.85
"""Share of the code range that the samples of each channel must cover: elsewhere the curve cannot be known."""

_KNOTS = 40
_POWER = 2.2
"""Knots are evenly spaced in light ** (1 / _POWER), where most cameras' curves are nearly straight."""
_BRIGHTEST_AT = 0.93
"""Light of the brightest sample, on the fit's own scale: knots beyond it are extrapolated by smoothness."""
_BEYOND = 4
"""Knots of linear extrapolation where even that does not reach the highest code."""
_EVEN, _FEWEST_SQUARES = 5.0, 24
"""A square is uniform if no pixel (an edge, a hot one) deviates by more than this times its noise; smallest number of
squares used."""
_FIXED_PATTERN = 0.015
"""Pixel response non-uniformity, relative."""
_WHOLE = 3.0
"""Distance of a mean from code 0 and from white, in standard deviations: nearer, clipped noise biases it."""
_SMOOTHNESS = 0.5
"""Weight of the curve's second differences relative to the misfit of the samples."""
_GUESS_KNOTS = 24
_SURE_SHARE = 0.02
"""Exposures shorter than this share of the longest are left out of the first guess: they may be far from nominal."""
_HOLD = 0.1
_OFFSET_SCALE_US = 200.0
_LEAST_EXPOSURES_FOR_OFFSET = 6
_TURNS = 60
_SHOWN, _ENOUGH = 0.02, 12
"""The true length of an exposure is estimated if so many squares and channels have at least this light."""


@dataclass(frozen=True)
class Samples:
    """Mean codes of small squares, exposures x squares x 3, and which are valid; exposures darkest first."""

    exposures: tuple[Exposure, ...]
    codes: Values
    usable: NDArray[np.bool_]
    white: float


@dataclass
class _Fit:
    """A channel's curve at the knots (codes), log radiance of each sample (light per us), offset in us.

    anchor: the fixed mean of log radiance, since the scale of light is arbitrary.
    """

    curve: Values
    log_radiance: Values
    offset_us: float
    anchor: float


class ResponseCurve:
    """The inverse response, from codes to light: a table of each channel at equally spaced codes 0..1."""

    def __init__(self, tables: Values) -> None:
        """tables: 3 x entries."""
        self._tables = tables
        self._codes = np.linspace(0, 1, tables.shape[1])

    def light(self, codes: Codes | Values) -> Values:
        """Light (1 = highest code) of codes (..., 3)."""
        channels = [np.interp(codes[..., c], self._codes, self._tables[c]) for c in range(3)]
        return np.stack(channels, axis=-1)

    def slope(self, codes: Codes | Values) -> Values:
        """Change of light over change of code at codes (..., 3)."""
        slopes = np.gradient(self._tables, self._codes, axis=1)
        return np.stack([np.interp(codes[..., c], self._codes, slopes[c]) for c in range(3)], axis=-1)


def curve_for(stack: Stack, measured: ResponseSection | None) -> ResponseCurve:
    """The response curve for a stack: linear where the camera states that; else as measured; else sRGB.

    A linear curve extends below black, so that noise about black keeps its mean.
    """
    codes = np.linspace(0, 1, 65536 if stack.full_range > 255 else 4096)
    if stack.record.response == "linear":
        return ResponseCurve(np.stack([(codes - stack.black) / (stack.white - stack.black)] * 3))
    if measured is not None:
        return ResponseCurve(np.array(measured.light))
    return ResponseCurve(np.stack([decode(codes / stack.white)] * 3))


def measure_response(stacks: Iterable[Stack]) -> tuple[ResponseSection, Samples]:
    """The curve of each channel from stacks of rising exposure at one gain, of a scene that stands still.

    Raises CalibrationError if they are too few, too dark, or do not fit one curve.
    """
    samples = collect(stacks)
    lights = np.array([exposure.light for exposure in samples.exposures])
    reach = float(np.where(samples.usable, samples.codes, 0).max(axis=(0, 1)).min()) / samples.white
    if len(lights) < 2 or reach < LEAST_COVERED:
        raise CalibrationError(
            f"the darkest channel reaches to {reach:.0%} of the range only: "
            "light the scene better, keep it still, or take longer exposures"
        )
    with_offset = len(lights) >= _LEAST_EXPOSURES_FOR_OFFSET
    green = _fit(samples, 1, lights, None if with_offset else 0.0)
    fits = [green if c == 1 else _fit(samples, c, lights, green.offset_us) for c in range(3)]
    tables, whites = (np.array(part) for part in zip(*(_table(fit.curve, samples.white) for fit in fits), strict=True))
    radiance = np.exp(np.stack([fit.log_radiance for fit in fits], axis=-1)) / whites
    ratios, residual = _consistency(samples, tables, radiance, lights + green.offset_us)
    section = ResponseSection(
        date=now(),
        black_level=round(max(0.0, float(np.mean([fit.curve[0] for fit in fits]))), 6),
        light=_triple(tables),
        exposure_offset_us=round(green.offset_us, 2),
        exposures=tuple(
            (exposure.exposure_us, exposure.gain, float(f"{ratio:.6g}"))
            for exposure, ratio in zip(samples.exposures, ratios, strict=True)
        ),
        residual=round(residual, 6),
    )
    return section, samples


def collect(stacks: Iterable[Stack]) -> Samples:
    """Squares of all tones, SAMPLES of them, without structure: a mean over an edge is not the code of mean light."""
    exposures, means, usable, rough, white = [], [], [], [], 1.0
    for stack in stacks:
        height, width = (side // BLOCK * BLOCK for side in stack.mean.shape[:2])
        squares = stack.mean[:height, :width].reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK, 3)
        mean = squares.mean(axis=(1, 3), dtype=np.float64).reshape(-1, 3)
        noise = _noise(stack)[:height, :width].reshape(squares.shape).mean(axis=(1, 3)).reshape(-1, 3)
        means.append(mean)
        margin = _WHOLE * noise**0.5
        usable.append((mean - margin > 0) & (mean + margin + _FIXED_PATTERN * mean < stack.white))
        even = noise / stack.frames + (_FIXED_PATTERN * mean) ** 2 + 0.3 / stack.full_range**2
        farthest = np.abs(squares - squares.mean(axis=(1, 3), keepdims=True)).max(axis=(1, 3)).reshape(-1, 3)
        rough.append((farthest / even**0.5).max(axis=1))
        exposures.append(stack.exposure)
        white = stack.white
    codes, roughness = np.array(means), np.max(rough, axis=0)
    smooth = np.flatnonzero(roughness <= max(_EVEN, np.sort(roughness)[:_FEWEST_SQUARES][-1]))
    by_tone = smooth[np.argsort(codes[:, smooth].mean(axis=(0, 2)), kind="stable")]
    chosen = [part[np.argmin(roughness[part])] for part in np.array_split(by_tone, min(SAMPLES, len(by_tone)))]
    return Samples(tuple(exposures), codes[:, chosen], np.array(usable)[:, chosen], white)


def _noise(stack: Stack) -> Codes:
    """Variance of single frames, rounding to whole codes included."""
    return stack.variance + np.float32(1 / 12 / stack.full_range**2)


def _fit(samples: Samples, channel: int, lights: Values, offset_us: float | None) -> _Fit:
    """Levenberg and Marquardt on curve, radiances and (where it is None) offset together."""
    codes, usable = samples.codes[..., channel], samples.usable[..., channel]
    fit = _first_guess(codes, usable, samples.white, lights)
    if offset_us is not None:
        fit.offset_us = offset_us
    damping = 1e-2
    residual, jacobian = _linearised(fit, codes, usable, lights, offset_us is None)
    for _ in range(_TURNS):
        normal = jacobian.T @ jacobian
        step = np.asarray(
            np.linalg.solve(normal + damping * np.diag(np.diag(normal) + 1e-9), -jacobian.T @ residual), float
        )
        trial = _stepped(fit, step, float(lights[0]))
        new_residual, new_jacobian = _linearised(trial, codes, usable, lights, offset_us is None)
        gained = 1 - float(new_residual @ new_residual) / max(float(residual @ residual), 1e-300)
        if gained <= 0:
            damping *= 8
            continue
        fit, residual, jacobian, damping = trial, new_residual, new_jacobian, damping / 4
        if gained < 1e-6:
            break
    return fit


def _first_guess(codes: Values, usable: NDArray[np.bool_], white: float, lights: Values) -> _Fit:
    """Debevec and Malik's linear equations for log light over code, well above black; any start is good enough here."""
    black = float(codes.min())
    above = usable & (codes > black + 0.05 * (white - black)) & (lights[:, None] > _SURE_SHARE * lights[-1])
    exposure, square = np.nonzero(above)
    place = (codes[exposure, square] - black) / (white - black) * (_GUESS_KNOTS - 1)
    left = np.clip(np.floor(place), 0, _GUESS_KNOTS - 2).astype(int)
    part, rows, squares = place - left, np.arange(len(place)), codes.shape[1]
    weight = np.minimum(place, _GUESS_KNOTS - 1 - place) / _GUESS_KNOTS + 0.02
    equations = np.zeros((len(place) + _GUESS_KNOTS - 1, _GUESS_KNOTS + squares))
    equations[rows, left] = weight * (1 - part)
    equations[rows, left + 1] = weight * part
    equations[rows, _GUESS_KNOTS + square] = -weight
    for knot in range(_GUESS_KNOTS - 2):
        equations[len(place) + knot, knot : knot + 3] = 0.1 * np.array([1, -2, 1])
    equations[-1, _GUESS_KNOTS - 1] = 1  # the highest code is light 1
    wanted = np.zeros(len(equations))
    wanted[: len(place)] = weight * np.log(lights[exposure])
    solved = np.linalg.lstsq(equations, wanted, rcond=None)[0]
    log_light = np.maximum.accumulate(solved[:_GUESS_KNOTS])
    seen = np.linspace(black, white, _GUESS_KNOTS)
    knots = np.linspace(0, 1, _KNOTS) ** _POWER
    light = np.concatenate([[0.0], np.exp(log_light[1:]) + np.arange(_GUESS_KNOTS - 1) * 1e-9])
    log_radiance = solved[_GUESS_KNOTS:]
    lost = ~above.any(axis=0)  # too dark to guess by: as if in proportion to the code
    log_radiance[lost] = np.log(np.maximum(np.interp(codes[-1, lost], seen, light), 1e-4) / lights[-1])
    scale = _BRIGHTEST_AT / float(np.max(np.where(usable, np.exp(log_radiance) * lights[:, None], 0)))
    log_radiance = (log_radiance + np.log(scale)).astype(np.float64)
    return _Fit(
        np.interp(knots, light * scale, seen), log_radiance, 0.0, float(log_radiance[usable.any(axis=0)].mean())
    )


def _linearised(
    fit: _Fit, codes: Values, usable: NDArray[np.bool_], lights: Values, free_offset: bool
) -> tuple[Values, Values]:
    """Residuals, in codes, and their derivatives: by the curve's knots but the last, log radiances, offset."""
    exposure, square = np.nonzero(usable)
    times = lights[exposure] + fit.offset_us
    light = np.exp(fit.log_radiance[square]) * times
    along = light ** (1 / _POWER) * (_KNOTS - 1)
    left = np.clip(np.floor(along), 0, _KNOTS - 2).astype(int)
    part = along - left
    rise = fit.curve[left + 1] - fit.curve[left]
    misfit = fit.curve[left] + part * rise - codes[exposure, square]
    by_log_light = rise * along / _POWER
    rows = np.arange(len(misfit))
    squares = len(fit.log_radiance)
    jacobian = np.zeros((len(misfit), _KNOTS + squares + 1))
    jacobian[rows, left] = 1 - part
    jacobian[rows, left + 1] = part
    jacobian[rows, _KNOTS + square] = by_log_light
    if free_offset:
        jacobian[:, -1] = by_log_light / times * _OFFSET_SCALE_US
    bend = np.zeros((_KNOTS - 2, jacobian.shape[1]))
    for knot in range(_KNOTS - 2):
        bend[knot, knot : knot + 3] = _SMOOTHNESS * np.array([1, -2, 1])
    hold = np.zeros((1, jacobian.shape[1]))
    seen = usable.any(axis=0)
    hold[0, _KNOTS : _KNOTS + squares] = _HOLD * seen / seen.sum()
    drift = _HOLD * (fit.log_radiance[seen].mean() - fit.anchor)
    residual = np.concatenate([misfit, bend[:, :_KNOTS] @ fit.curve, [drift]])
    jacobian = np.concatenate([jacobian, bend, hold])
    return residual, jacobian


def _stepped(fit: _Fit, step: Values, shortest_us: float) -> _Fit:
    offset_us = fit.offset_us + float(step[-1]) * _OFFSET_SCALE_US
    return _Fit(
        fit.curve + step[:_KNOTS],
        fit.log_radiance + np.clip(step[_KNOTS:-1], -2, 2),
        max(offset_us, -0.9 * shortest_us),
        fit.anchor,
    )


def _table(curve: Values, white: float) -> tuple[Values, float]:
    """Light at equally spaced codes from the codes at the knots: 0 up to the code without light, 1 from `white` on.

    With it, the light of `white` on the fit's own scale.
    """
    knots = np.arange(_KNOTS + _BEYOND)
    beyond = curve[-1] + (curve[-1] - curve[-2]) * np.arange(1, _BEYOND + 1)
    rising = np.maximum.accumulate(np.concatenate([curve, beyond])) + knots * 1e-12
    fine = np.linspace(0, knots[-1], 8192)
    light = (fine / (_KNOTS - 1)) ** _POWER
    codes = np.interp(fine, knots, rising)
    at_white = float(np.interp(white, codes, light))
    table = np.interp(np.linspace(0, 1, TABLE), codes, light) / at_white
    return np.asarray(np.minimum(table, 1.0)), at_white


def _consistency(samples: Samples, tables: Values, radiance: Values, expected: Values) -> tuple[Values, float]:
    """True light of each exposure over the longest one's, and the relative RMS by which single squares differ.

    radiance: of each square and channel, light per us. expected: used for exposures without enough light.
    """
    light = ResponseCurve(tables).light(samples.codes)
    usable = samples.usable & (light > _SHOWN)
    # least squares: bright squares count most, for which rounding to codes matters least
    estimated = (usable * light * radiance).sum(axis=(1, 2)) / np.maximum(
        (usable * radiance**2).sum(axis=(1, 2)), 1e-300
    )
    true = np.where(usable.sum(axis=(1, 2)) >= _ENOUGH, estimated, expected)
    relative = (light / radiance / true[:, None, None] - 1)[usable]
    return true / true[-1], float(np.sqrt(np.mean(relative**2))) if relative.size else 0.0


def _triple(tables: Values) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    blue, green, red = (tuple(float(f"{value:.6g}") for value in table) for table in tables)
    return blue, green, red


def draw(section: ResponseSection) -> Picture:
    """The curve of each channel, with sRGB's for comparison."""
    codes = np.linspace(0, 1, TABLE)
    axes = Axes(
        f"response: residual {section.residual:.2%}, exposures {section.exposure_offset_us:+.1f} us",
        "code",
        "light",
        (0.0, 1.0),
        (0.0, 1.0),
    )
    axes.line(codes, decode(codes), GREY)
    for channel, colour in enumerate(CHANNELS):
        axes.line(codes, section.light[channel], colour)
    axes.legend([("red", CHANNELS[2]), ("green", CHANNELS[1]), ("blue", CHANNELS[0]), ("sRGB", (150, 150, 150))])
    return axes.picture
