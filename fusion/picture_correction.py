"""Exposures corrected by the camera's profile before they are fused: a camera's codes in, true sRGB codes out.

The order is that of light on its way back: response with black level, flat field, clipping, colour matrix, sRGB curve,
lens. Clipping: with a colour matrix of a camera whose channels are unbalanced, a pixel where all channels clip would
become coloured. So each channel is cut at the value that it has in the brightest neutral grey which clips nowhere, as
raw developers do; that grey becomes white.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.capture.frame import Bracket, Pixels
from livemef.capture.srgb import encode
from livemef.fusion.correction import CameraCorrection

Light = NDArray[np.float32]
BAND_ROWS = 32
"""Rows that are corrected at a time: their floats stay in the processor's cache."""
LEVELS = 65536
_HIGHEST_LEVEL: Any = (LEVELS - 1.0,) * 4
"""As OpenCV takes a number for every channel."""


class PictureCorrection:
    """What a profile says, made into tables for pictures of one size. Not thread-safe."""

    def __init__(self, correction: CameraCorrection) -> None:
        self._correction = correction
        matrix = np.eye(3) if correction.matrix is None else np.asarray(correction.matrix, np.float64)
        self._ceiling = np.asarray(correction.neutral, np.float32)
        """Light of each channel in the brightest grey that clips nowhere."""
        self._matrix = np.asarray(matrix / (matrix @ correction.neutral).mean(), np.float32)
        self._tables: dict[np.dtype[Any], NDArray[Any]] = {}
        self._by_table = correction.matrix is None and correction.transmission is None
        """Whether a channel's code alone decides about the corrected code."""

    def apply(self, pixels: Pixels) -> Pixels:
        """A new picture: BGR, of the shape and dtype given, sRGB-encoded.

        Raises FusionError for a picture of another size than the profile was measured at.
        """
        self._correction.check_size(pixels)
        table = self._table(pixels.dtype)
        mended = self._without_hot_pixels(pixels)
        out = look_up(table, mended) if self._by_table else self._in_light(table, mended)
        if self._lens_maps is None:
            return out
        return np.asarray(cv2.remap(out, *self._lens_maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))

    def _in_light(self, table: NDArray[Any], pixels: Pixels) -> Pixels:
        out = np.empty_like(pixels)
        for top in range(0, len(pixels), BAND_ROWS):
            rows = slice(top, top + BAND_ROWS)
            light = look_up(table, pixels[rows])
            if self._gain is not None:
                cv2.multiply(light, self._gain[rows], dst=light)
                np.minimum(light, self._ceiling, out=light)
            if self._correction.matrix is not None:
                light = np.asarray(cv2.transform(light, self._matrix), np.float32)
            out[rows] = _encoded(light, pixels.dtype)
        return out

    def _table(self, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Light for each code, cut at the ceiling, or at once the corrected code: codes x 1 x 3."""
        if dtype not in self._tables:
            highest = int(np.iinfo(dtype).max)
            light = np.minimum(self._correction.light_tables(highest + 1).T, self._ceiling)[:, None]
            codes = np.rint(encode(np.clip(light, 0, 1)) * highest).astype(dtype)
            self._tables[dtype] = np.ascontiguousarray(codes if self._by_table else light.astype(np.float32))
        return self._tables[dtype]

    @cached_property
    def _gain(self) -> Light | None:
        transmission = self._correction.transmission
        return None if transmission is None else np.asarray(1 / transmission, np.float32)

    @cached_property
    def _lens_maps(self) -> tuple[NDArray[Any], NDArray[Any]] | None:
        if self._correction.lens is None or self._correction.size is None:
            return None
        camera, distortion = self._correction.lens
        maps = cv2.initUndistortRectifyMap(camera, distortion, np.eye(3), camera, self._correction.size, cv2.CV_16SC2)
        return np.asarray(maps[0]), np.asarray(maps[1])

    @cached_property
    def _hot(self) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]] | None:
        """Places (row by row, from 0) that are replaced, those around each (n x 25), and their weights: sound ones."""
        if not self._correction.hot_pixels or self._correction.size is None:
            return None
        width, height = self._correction.size
        sound = np.ones((height, width), np.float32)
        for x, y in self._correction.hot_pixels:
            sound[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2] = 0  # demosaicking has carried it to those beside
        rows, columns = np.nonzero(sound == 0)
        down, across = (offset.ravel() for offset in np.mgrid[-2:3, -2:3])
        near_y, near_x = rows[:, None] + down, columns[:, None] + across
        inside = (near_y >= 0) & (near_y < height) & (near_x >= 0) & (near_x < width)
        near = np.clip(near_y, 0, height - 1) * width + np.clip(near_x, 0, width - 1)
        weights = sound.ravel()[near] * inside
        known = weights.sum(axis=1) > 0
        share = weights[known] / weights[known].sum(axis=1, keepdims=True)
        return rows[known] * width + columns[known], near[known], share.astype(np.float32)

    def _without_hot_pixels(self, pixels: Pixels) -> Pixels:
        if self._hot is None:
            return pixels
        places, near, weights = self._hot
        mended = pixels.copy()
        flat = mended.reshape(-1, 3)
        flat[places] = np.rint(np.einsum("nk,nkc->nc", weights, flat[near].astype(np.float32))).astype(pixels.dtype)
        return mended


class BracketCorrection:
    """The exposures of a stream's brackets, corrected: each frame once, though sliding brackets share frames."""

    def __init__(self, correction: CameraCorrection) -> None:
        self._correction = PictureCorrection(correction)
        self._known: dict[tuple[int, int, int], Pixels] = {}

    def exposures(self, bracket: Bracket, pixels: Sequence[Pixels]) -> tuple[Pixels, ...]:
        """Corrected copies of a bracket's exposures. Raises FusionError for pictures of another size."""
        keys = [(record.epoch, record.sequence, record.timestamp_ns) for record in bracket.records]
        self._known = {
            key: self._known[key] if key in self._known else self._correction.apply(exposure)
            for key, exposure in zip(keys, pixels, strict=True)
        }
        return tuple(self._known[key] for key in keys)


def look_up(table: NDArray[Any], pixels: Pixels) -> NDArray[Any]:
    """table[code, 0, channel] of each code of a picture, height x width x 3."""
    try:
        return np.asarray(cv2.LUT(pixels, table))
    except cv2.error:  # OpenCV 4 has tables for 8-bit pictures only
        return np.stack([table[:, 0, channel].take(pixels[..., channel]) for channel in range(3)], axis=-1)


def _encoded(light: Light, dtype: np.dtype[Any]) -> Pixels:
    """sRGB codes of linear light; below 0 and above 1 it is cut."""
    if dtype == np.uint16:  # equal steps of light would be too coarse near black
        light = np.asarray(cv2.sqrt(np.maximum(light, 0)), np.float32)
    levels: NDArray[Any] = np.asarray(cv2.multiply(light, _HIGHEST_LEVEL, dtype=cv2.CV_16U))
    return look_up(_code_table(dtype), levels)


@lru_cache(maxsize=2)
def _code_table(dtype: np.dtype[Any]) -> NDArray[Any]:
    """sRGB codes at equal steps of light, or of its square root for 16 bits: levels x 1 x 3."""
    steps = np.linspace(0, 1, LEVELS)
    codes = encode(steps**2 if dtype == np.uint16 else steps) * np.iinfo(dtype).max
    return np.ascontiguousarray(np.repeat(np.rint(codes).astype(dtype)[:, None, None], 3, axis=2))
