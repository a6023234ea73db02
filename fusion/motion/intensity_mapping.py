"""The intensity mapping function: encoded values of one exposure for those of another of the same scene.

Known from the ratio of light and the camera's response, or learned from the pictures by matching histograms (Grossberg
and Nayar, "Determining the camera response from images", PAMI 2003), or both: see `learned`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livemef.fusion.method import colour

Curve = NDArray[np.float64]
"""Encoded values 0..1 at KNOTS + 1 equally spaced encoded values 0..1, never falling."""

KNOTS = 1024
CLIPS = 0.97
"""Encoded values from here up may be clipped."""
SMALLEST_RATIO, LARGEST_RATIO = 1.0, 4096.0


FORGET = 1 / 24
"""Part of a running histogram that each further frame of its exposure takes away."""
PRIOR = 0.02
"""Part of a grid's cells: where so many were seen near a level, pictures and known ratio count alike."""
NEAR = 33
"""Knots about a level whose cells count as seen there."""
SEEN = 0.5
"""Share of the pictures from which they bound the known values of darker levels, which never lie above theirs."""
BALANCED, MOST_GAIN = 0.2, 1.5
"""Part of a grid's cells: where so many move, half of their mean's difference between exposures is taken for light that
flickers; and the gain at most."""


@dataclass(frozen=True)
class ExposureMap:
    """Encoded values of the darker exposure as the brighter one would give them, and the reverse.

    brighter: stays the same from where the brighter exposure clips. darker: ends, at 1, with the darkest value that
    clips. clips_at: encoded value at which exposures clip, see clip_level.
    """

    brighter: Curve
    darker: Curve
    clips_at: float = 1.0

    @cached_property
    def slope(self) -> Curve:
        """Of `brighter`, at the knots."""
        rise = np.diff(self.brighter) * KNOTS
        return np.concatenate([rise[:1], (rise[:-1] + rise[1:]) / 2, rise[-1:]])


def at(curve: Curve, values: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """The curve at encoded values 0..1, interpolated."""
    position = np.asarray(values, np.float32) * np.float32(KNOTS)
    first = np.minimum(position.astype(np.int32), KNOTS - 1)
    table = curve.astype(np.float32)
    low = table[first]
    return np.asarray(low + (position - first) * (table[first + 1] - low), np.float32)


def nearest(curve: Curve, values: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """The curve at the knots nearest to encoded values 0..1: quicker than `at`."""
    return curve.astype(np.float32).take((values * np.float32(KNOTS) + np.float32(0.5)).astype(np.int32))


def at_channels(curves: Curve, values: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """A curve a channel (3 x KNOTS + 1) at the knots nearest to encoded values (... x 3)."""
    return np.stack([nearest(curves[c], values[..., c]) for c in range(3)], axis=-1)


def median_level(
    values: NDArray[np.float32], curves: Curve, mask: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """The median over the channels of a curve each (3 x KNOTS + 1) at encoded values (h x w x 3): h x w; 0 where the
    mask (h x w) is 0.
    """
    found = np.asarray(np.median(at_channels(curves, values), axis=2), np.float32)
    return found if mask is None else np.where(mask > 0, found, np.float32(0))


def green_difference(
    under: NDArray[np.float32], over: NDArray[np.float32], brighter: Curve, mask: NDArray[np.float32]
) -> NDArray[np.float32]:
    """What a brighter exposure shows (encoded, green) less what it should by the darker one, without sign: h x w; 0
    where the mask is 0. brighter: the map between them (KNOTS + 1).
    """
    found = np.abs(over[..., 1] - nearest(brighter, under[..., 1]))
    return np.where(mask > 0, found, np.float32(0))


def code_tables(curves: Curve, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Curves (3 x KNOTS + 1) as codes for every code of the dtype: 3 x 256 or 3 x 65536."""
    codes = int(np.iinfo(dtype).max) + 1
    places, knots = np.linspace(0, 1, codes), np.linspace(0, 1, KNOTS + 1)
    return colour.to_codes(np.stack([np.interp(places, knots, curve) for curve in curves]), dtype)


@lru_cache(maxsize=32)
def of_light_ratio(ratio: float) -> ExposureMap:
    """For exposures whose light differs by `ratio` (1 or more), sRGB-encoded."""
    ratio = min(max(ratio, SMALLEST_RATIO), LARGEST_RATIO)
    linear = colour.decode(np.linspace(0, 1, KNOTS + 1))
    return ExposureMap(
        np.asarray(colour.encode(np.minimum(linear * ratio, 1)), np.float64),
        np.asarray(colour.encode(linear / ratio), np.float64),
    )


def of_pictures(darker: NDArray[np.floating[Any]], brighter: NDArray[np.floating[Any]]) -> ExposureMap:
    """For two exposures of one scene (same shape, encoded 0..1) of unknown response: their histograms are matched.

    Equal shares of both pictures' samples lie below a value and below what it maps to, whatever moved within the
    picture (Grossberg and Nayar, "Determining the camera response from images", PAMI 2003).
    """
    return _between(_histogram(darker), _histogram(brighter))


def of_channels(darker: NDArray[np.floating[Any]], brighter: NDArray[np.floating[Any]]) -> ChannelMaps:
    """`of_pictures` for each channel (h x w x 3)."""
    blue, green, red = (of_pictures(darker[..., c : c + 1], brighter[..., c : c + 1]) for c in range(3))
    return blue, green, red


def _between(dark: Curve, bright: Curve, clips_at: float = 1.0) -> ExposureMap:
    darkened = _matched(bright, dark)
    held = np.minimum(darkened, darkened[round(CLIPS * clips_at * KNOTS)])
    return ExposureMap(_matched(dark, bright), held, clips_at)


ChannelMaps = tuple[ExposureMap, ExposureMap, ExposureMap]
"""Of blue, green, red."""


def of_response(ratio: float, light: Curve) -> ExposureMap:
    """For exposures whose light differs by `ratio` (1 or more), of a camera whose encoded values at the knots stand for
    this linear light, never falling.
    """
    ratio = min(max(ratio, SMALLEST_RATIO), LARGEST_RATIO)
    knots = np.linspace(0, 1, KNOTS + 1)
    rising = np.maximum.accumulate(light) + 1e-12 * np.arange(KNOTS + 1)  # interpolation needs it strictly so
    brighter = np.interp(np.minimum(ratio * light, light[-1]), rising, knots)
    return ExposureMap(np.asarray(brighter), np.asarray(np.interp(light / ratio, rising, knots)))


def light_of_linear(black: float, white: float) -> NDArray[np.float64]:
    """Light (3 x KNOTS + 1, white = 1) of a linear response with these encoded values (0..1) of black and white."""
    light = np.clip((np.linspace(0, 1, KNOTS + 1) - black) / max(white - black, 1e-6), 0, 1)
    return np.repeat(light[None], 3, axis=0)


def light_at_knots(light: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """Linear light, measured for each channel at equally spaced encoded values, at the knots: 3 x KNOTS + 1."""
    knots = np.linspace(0, 1, KNOTS + 1)
    return np.stack([np.interp(knots, np.linspace(0, 1, len(values)), values) for values in light])


def learned(
    dark: Curve, bright: Curve, known: Sequence[ExposureMap] | None, cells: int, clips_at: float = 1.0
) -> ChannelMaps:
    """Maps between two exposures from their running histograms (3 x KNOTS + 1 each, of grids of so many cells).

    Where a level was seen the pictures decide, and `known`, the maps by the ratio of light, where it was not: the
    share of the pictures is n / (n + PRIOR cells), n being the cells seen near the level. So a black offset, a tone
    curve or crosstalk needs no model.
    """
    blue, green, red = (
        _learned(dark[c], bright[c], None if known is None else known[c], PRIOR * cells, clips_at) for c in range(3)
    )
    return blue, green, red


def gained(one: ExposureMap, gain: float) -> ExposureMap:
    """The map of a brighter exposure whose encoded values are so many times as large."""
    knots = np.linspace(0, 1, KNOTS + 1)
    return ExposureMap(
        np.minimum(one.brighter * gain, one.clips_at),
        np.asarray(np.interp(np.minimum(knots / gain, 1), knots, one.darker)),
        one.clips_at,
    )


def balanced(maps: ChannelMaps, under: Curve, over: Curve, cells: int) -> ChannelMaps:
    """The maps with a gain by which moving cells, with these histograms in the darker and the brighter exposure, are as
    bright on the mean as they are seen; in part, if they are few of all `cells`.

    Lamps flicker, and a short exposure catches more of it or less: then what moves would pulse, since it is shown by
    each exposure in turn. But the mean of few things also changes with what they cover and uncover. What clips is left
    out, and where much clips in only one of the exposures, there is nothing to compare.
    """
    brighter, level = np.stack([one.brighter for one in maps]), np.linspace(0, 1, KNOTS + 1)
    clips = CLIPS * maps[0].clips_at
    expected, seen = under * (brighter < clips), over * (level < clips)
    counts = sorted((float(expected.sum()), float(seen.sum())))
    moving = max(2 * counts[0] - counts[1], 0.0) / (3 * cells)
    if moving == 0:
        return maps
    as_expected = float((expected * brighter).sum() / expected.sum())
    ratio = float((seen @ level).sum() / seen.sum()) / max(as_expected, 1e-6)
    gain = 1 + moving**2 / (moving**2 + BALANCED**2) * (ratio - 1)
    blue, green, red = (gained(one, min(max(gain, 1 / MOST_GAIN), MOST_GAIN)) for one in maps)
    return blue, green, red


def near(one: ExposureMap, other: ExposureMap, most: float) -> ExposureMap:
    """The map, but at most so far (encoded) from another one."""
    brighter, darker = (
        np.clip(curve, around - most, around + most)
        for curve, around in ((one.brighter, other.brighter), (one.darker, other.darker))
    )
    return ExposureMap(brighter, darker, one.clips_at)


def _learned(dark: Curve, bright: Curve, known: ExposureMap | None, prior: float, clips_at: float) -> ExposureMap:
    bright = bright * (dark.sum() / max(bright.sum(), 1e-9))  # one may have been seen once more than the other
    matched = _between(dark, bright, clips_at)
    if known is None:
        return matched
    return ExposureMap(
        _blended(np.minimum(known.brighter, clips_at), matched.brighter, dark, prior),
        _blended(known.darker, matched.darker, bright, prior),
        clips_at,
    )


def _blended(known: Curve, matched: Curve, seen: Curve, prior: float) -> Curve:
    near = smooth(seen) * NEAR
    part = near / (near + prior)
    curve = known + part * (matched - known)
    next_seen = np.minimum.accumulate(np.where(part >= SEEN, curve, np.inf)[::-1])[::-1]
    return np.asarray(np.maximum.accumulate(np.minimum(curve, next_seen)), np.float64)


def smooth(curve: Curve) -> Curve:
    """The mean of NEAR knots about each, the first and last repeated beyond the ends."""
    before, after = np.full(NEAR // 2 + 1, curve[0]), np.full(NEAR // 2, curve[-1])  # np.pad takes ten times as long
    sums = np.cumsum(np.concatenate([before, curve, after]))
    return np.asarray((sums[NEAR:] - sums[:-NEAR]) / NEAR)


def histograms(
    grid: NDArray[np.float32], mask: NDArray[np.float32] | None = None, least: float = 0.0
) -> NDArray[np.float64]:
    """Cells at each knot, by channel (3 x KNOTS + 1), of a grid (h x w x 3, encoded 0..1); of those where the mask (h x
    w) is at least `least`."""
    if mask is not None:
        grid = grid[mask >= np.float32(least)]
    return np.stack([_histogram(grid[..., c]) for c in range(3)])


def _histogram(values: NDArray[np.floating[Any]]) -> Curve:
    knots = (np.asarray(values, np.float32) * np.float32(KNOTS) + np.float32(0.5)).astype(np.int32).ravel()
    return np.bincount(knots, minlength=KNOTS + 1).astype(np.float64)


def _matched(source: Curve, target: Curve) -> Curve:
    """The value with the same rank in `target` for each value of `source`, both histograms over the knots."""
    ranks = np.cumsum(source) - source / 2
    held = np.flatnonzero(target)
    curve = np.interp(ranks, (np.cumsum(target) - target / 2)[held], held / KNOTS)
    return np.asarray(np.maximum.accumulate(curve), np.float64)
