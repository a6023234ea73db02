"""The simulated sensor's loops over pixels: the definition, and the compiled ones (kernels/sensor.c)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
Raw = NDArray[np.uint16]


@dataclass(frozen=True)
class Levels:
    """full_well: electrons; scale: DN an electron; black, white: lowest and highest DN."""

    full_well: float
    scale: float
    black: int
    white: int


class SensorLoops(Protocol):
    """Loops over bands of rows; all planes of a call have one shape."""

    def weighted_sum(self, out: Plane, parts: list[tuple[Plane, float]]) -> None:
        """Set `out` to the sum of planes times their weights; one part at least."""
        ...

    def raw_values(self, raw: Raw, electrons: Plane, response: Plane, shot: Plane, read: Plane, levels: Levels) -> None:
        """Set `raw` to what the sensor reads of mean electrons times the pixels' response; `electrons` may be
        overwritten. shot: standard normal noise; read: noise in electrons.
        """
        ...


class NumpyLoops:
    """The definition."""

    def weighted_sum(self, out: Plane, parts: list[tuple[Plane, float]]) -> None:
        """See SensorLoops."""
        for number, (part, weight) in enumerate(parts):
            if number == 0:
                np.multiply(part, np.float32(weight), out=out)
            else:
                cv2.scaleAdd(part, weight, out, dst=out)

    def raw_values(self, raw: Raw, electrons: Plane, response: Plane, shot: Plane, read: Plane, levels: Levels) -> None:
        """See SensorLoops."""
        np.multiply(electrons, response, out=electrons)
        np.maximum(electrons, 0, out=electrons)  # a scene's sharpened edges may be darker than black
        cv2.accumulateProduct(cv2.sqrt(electrons), shot, electrons)
        cv2.threshold(electrons, levels.full_well, 0, cv2.THRESH_TRUNC, dst=electrons)
        cv2.addWeighted(electrons, levels.scale, read, levels.scale, levels.black, dst=raw, dtype=cv2.CV_16U)
        cv2.threshold(raw, levels.white, 0, cv2.THRESH_TRUNC, dst=raw)


class CompiledLoops:
    """The same within rounding: one raw value in some thousands differs by 1."""

    def __init__(self, module: Any) -> None:
        self._module = module

    def weighted_sum(self, out: Plane, parts: list[tuple[Plane, float]]) -> None:
        """See SensorLoops."""
        self._module.weighted_sum(out, parts)

    def raw_values(self, raw: Raw, electrons: Plane, response: Plane, shot: Plane, read: Plane, levels: Levels) -> None:
        """See SensorLoops."""
        given = levels.full_well, levels.scale, levels.black, levels.white
        self._module.raw_values(raw, electrons, response, shot, read, given)


def best_loops() -> SensorLoops:
    """The compiled loops; without them (they are built at installation where a C compiler is) the definition."""
    try:
        from livemef.capture import _sensor
    except ImportError:
        return NumpyLoops()
    return CompiledLoops(_sensor)
