"""Plots of results with OpenCV: axes with lines and points, colour maps, pictures side by side with a caption."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]

BLACK, GREY = (30, 30, 30), (215, 215, 215)
BLUE, GREEN, RED, ORANGE = (200, 90, 20), (60, 150, 40), (40, 40, 210), (20, 140, 240)
CHANNELS = (BLUE, GREEN, RED)

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_TICKS = 6
_WIDTH, _HEIGHT = 960, 600


class Axes:
    """A diagram over data from (x0, y0) to (x1, y1); log: both axes logarithmic."""

    def __init__(
        self,
        title: str,
        x_label: str,
        y_label: str,
        x: tuple[float, float],
        y: tuple[float, float],
        log: bool = False,
    ) -> None:
        self.picture: Picture = np.full((_HEIGHT, _WIDTH, 3), 255, np.uint8)
        self._log = log
        self._x, self._y = self._scaled(np.array(x)), self._scaled(np.array(y))
        self._left, self._right, self._top, self._bottom = 90, _WIDTH - 30, 50, _HEIGHT - 60
        for value in self._ticks(x):
            at = self._at([value], [y[0]])[0]
            cv2.line(self.picture, (at[0], self._top), (at[0], self._bottom), GREY, 1)
            write(self.picture, f"{value:g}", (at[0] - 12, self._bottom + 20))
        for value in self._ticks(y):
            at = self._at([x[0]], [value])[0]
            cv2.line(self.picture, (self._left, at[1]), (self._right, at[1]), GREY, 1)
            write(self.picture, f"{value:g}", (8, at[1] + 5))
        cv2.rectangle(self.picture, (self._left, self._top), (self._right, self._bottom), BLACK, 1)
        write(self.picture, title, (self._left, 30), 0.65)
        write(self.picture, x_label, ((self._left + self._right) // 2 - 60, _HEIGHT - 12))
        write(self.picture, y_label, (8, self._top - 8))

    def line(self, x: ArrayLike, y: ArrayLike, colour: Colour) -> None:
        """Draw a line through the points in order."""
        cv2.polylines(self.picture, [self._at(x, y)], False, colour, 2, cv2.LINE_AA)

    def points(self, x: ArrayLike, y: ArrayLike, colour: Colour) -> None:
        """Draw a dot at each point."""
        for place in self._at(x, y):
            cv2.circle(self.picture, (int(place[0]), int(place[1])), 4, colour, -1, cv2.LINE_AA)

    def vertical(self, x: float, colour: Colour, text: str) -> None:
        """Draw a vertical line with a label."""
        at = int(self._at([x], [0.0 if not self._log else 1.0])[0][0])
        cv2.line(self.picture, (at, self._top), (at, self._bottom), colour, 1, cv2.LINE_AA)
        write(self.picture, text, (at + 4, self._top + 16), colour=colour)

    def legend(self, entries: Sequence[tuple[str, Colour]]) -> None:
        """Draw a legend in the lower right corner."""
        for number, (text, colour) in enumerate(entries):
            write(self.picture, text, (self._right - 330, self._bottom - 12 - 20 * number), colour=colour)

    def _scaled(self, values: NDArray[Any]) -> NDArray[np.float64]:
        values = np.asarray(values, float)
        return np.log10(np.maximum(values, 1e-12)) if self._log else values

    def _at(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.int32]:
        across = (self._scaled(np.asarray(x)) - self._x[0]) / max(self._x[1] - self._x[0], 1e-12)
        up = (self._scaled(np.asarray(y)) - self._y[0]) / max(self._y[1] - self._y[0], 1e-12)
        places = np.stack(
            [self._left + across * (self._right - self._left), self._bottom - up * (self._bottom - self._top)], axis=1
        )
        return np.clip(np.round(places), -10000, 10000).astype(np.int32)

    def _ticks(self, span: tuple[float, float]) -> list[float]:
        if self._log:
            return [10.0**n for n in range(math.ceil(math.log10(span[0])), math.floor(math.log10(span[1])) + 1)]
        raw = (span[1] - span[0]) / _TICKS
        magnitude = 10 ** math.floor(math.log10(max(raw, 1e-12)))
        step = min((m * magnitude for m in (1, 2, 5, 10)), key=lambda s: abs(s - raw))
        first = math.ceil(span[0] / step - 1e-9)
        return [round(n * step, 10) for n in range(first, math.floor(span[1] / step + 1e-9) + 1)]


def write(picture: Picture, text: str, at: tuple[int, int], size: float = 0.45, colour: Colour = BLACK) -> None:
    """Draw a line of text, its lower left corner at (x, y)."""
    cv2.putText(picture, text, at, _FONT, size, colour, 1, cv2.LINE_AA)


def colour_map(values: NDArray[Any], low: float, high: float, width: int) -> Picture:
    """Values (height x width) from `low` (dark) to `high` (bright), `width` pixels wide."""
    shown = np.clip((values - low) / max(high - low, 1e-12) * 255, 0, 255).astype(np.uint8)
    height = max(1, round(width * shown.shape[0] / shown.shape[1]))
    return np.asarray(cv2.applyColorMap(cv2.resize(shown, (width, height)), cv2.COLORMAP_VIRIDIS), np.uint8)


def captioned(picture: Picture, text: str) -> Picture:
    """The picture under a line of text."""
    strip = np.full((28, picture.shape[1], 3), 255, np.uint8)
    write(strip, text, (6, 19))
    return np.concatenate([strip, picture])


def beside(*pictures: Picture) -> Picture:
    """Pictures side by side on white."""
    height = max(picture.shape[0] for picture in pictures)
    padded = [np.pad(p, ((0, height - p.shape[0]), (4, 4), (0, 0)), constant_values=255) for p in pictures]
    return np.concatenate(padded, axis=1)
