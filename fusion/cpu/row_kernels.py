"""The per-pixel work of a fusion as a few loops over rows: the seam between the CPU fuser and whoever runs them.

`compiled.py` has them compiled, `NumpyLoops` here in plain numpy: slower by more than an order of magnitude, but with
nothing to compile, and the definition's own functions. Every loop may run on any rows in any order, in many threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from livemef.capture.frame import Pixels
from livemef.fusion.method import colour, downscale, drift, guide_planes, guided_upsampling, reference
from livemef.fusion.motion import exposure_synthesis
from livemef.fusion.motion.exposure_synthesis import Compensation
from livemef.fusion.motion.loops import DefinedLoops, GridLoops
from livemef.fusion.settings import FusionSettings

Plane = NDArray[np.float32]
Planes = NDArray[np.float64]
Rows = Callable[[int, int], None]


@dataclass(frozen=True)
class FusionInput:
    """An exposure to be fused, H x W x 3: as it is, or changed by `todo` to what it would have been at the moment of
    `reference`.
    """

    pixels: Pixels
    reference: Pixels | None = None
    todo: Compensation | None = None


@dataclass(frozen=True)
class Job:
    """One pair to fuse into `out` (all H x W x 3, one dtype), and what steers it.

    chroma: the under-exposed picture's part of the regional chroma, h x w. Lightness: either `affine`,
    coefficients h x w x 3 in L* units, or `lightness`, the fused L* of every pixel, H x W in 0..100. drift: for colour
    "tone", h x w x 3, see `method.drift.factors`.
    """

    under: FusionInput
    over: FusionInput
    out: Pixels
    settings: FusionSettings
    chroma: Planes
    affine: Planes | None = None
    lightness: Plane | None = None
    drift: Planes | None = None


class PixelLoops(GridLoops, Protocol):
    """The loops. Those over pixels return a function that does rows top..bottom (exclusive) of their result."""

    name: str

    def shrink(self, pixels: Pixels, shrunk: Plane) -> Rows:
        """Fill `shrunk` (h x w x 3, encoded 0..1) with area averages of the picture."""
        ...

    def small_lab(self, shrunk: Plane, settings: FusionSettings) -> tuple[Plane, Plane]:
        """Lightness (see `reference.guide_lightness`) and C*ab of a small picture (h x w x 3, encoded 0..1)."""
        ...

    def chroma_part(self, under: Plane, over: Plane) -> Planes:
        """The under-exposed picture's part of the regional chroma (h x w) from the small pictures' C*ab."""
        ...

    def drift_evidence(self, under: Plane, over: Plane, settings: FusionSettings) -> Planes:
        """Evidence of colour drift (h x w x 6) in two small pictures (h x w x 3, encoded 0..1)."""
        ...

    def drift_factors(self, evidence: Planes) -> Planes:
        """The drift's factors (h x w x 3)."""
        ...

    def affine_planes(self, under: Plane, over: Plane, target: Planes, settings: FusionSettings) -> Planes:
        """Coefficients A, B, C (h x w x 3) of the target L* in the small pictures' L*."""
        ...

    def lightness(self, pixels: Pixels, lightness: Plane, settings: FusionSettings) -> Rows:
        """Fill `lightness` (H x W) with the pixels' lightness, 0..100: see `reference.guide_lightness`."""
        ...

    def fuse(self, job: Job) -> Rows:
        """Fill the job's `out`."""
        ...

    def remake(self, exposure: FusionInput, out: Pixels) -> Rows:
        """Fill `out` with the exposure as of its reference's moment."""
        ...


class NumpyLoops(DefinedLoops):
    """The loops by the definition's functions, in float64, a few rows at a time so that memory stays bounded."""

    name = "numpy"

    def shrink(self, pixels: Pixels, shrunk: Plane) -> Rows:
        """See PixelLoops."""
        height, width = shrunk.shape[:2]

        def rows(top: int, bottom: int) -> None:
            averages = downscale.area_average(pixels, height, width, top, bottom)
            shrunk[top:bottom] = averages / np.iinfo(pixels.dtype).max

        return rows

    def small_lab(self, shrunk: Plane, settings: FusionSettings) -> tuple[Plane, Plane]:
        """See PixelLoops."""
        lightness, a, b = reference.small_lab(shrunk, settings)
        return lightness.astype(np.float32), np.hypot(a, b).astype(np.float32)

    def chroma_part(self, under: Plane, over: Plane) -> Planes:
        """See PixelLoops."""
        return guide_planes.chroma_part(under, over)

    def drift_evidence(self, under: Plane, over: Plane, settings: FusionSettings) -> Planes:
        """See PixelLoops."""
        return drift.evidence(under, over, settings.shoulder)

    def drift_factors(self, evidence: Planes) -> Planes:
        """See PixelLoops."""
        return drift.factors(evidence)

    def affine_planes(self, under: Plane, over: Plane, target: Planes, settings: FusionSettings) -> Planes:
        """See PixelLoops."""
        return guide_planes.affine_planes(under, over, target, settings)

    def lightness(self, pixels: Pixels, lightness: Plane, settings: FusionSettings) -> Rows:
        """See PixelLoops."""

        def rows(top: int, bottom: int) -> None:
            for strip in _strips(top, bottom, pixels.shape[1]):
                lightness[strip] = reference.guide_lightness(colour.from_codes(pixels[strip]), settings)

        return rows

    def fuse(self, job: Job) -> Rows:
        """See PixelLoops."""

        def rows(top: int, bottom: int) -> None:
            for strip in _strips(top, bottom, job.out.shape[1]):
                _fuse_strip(job, strip)

        return rows

    def remake(self, exposure: FusionInput, out: Pixels) -> Rows:
        """See PixelLoops."""

        def rows(top: int, bottom: int) -> None:
            for strip in _strips(top, bottom, out.shape[1]):
                out[strip] = _codes(exposure, strip)

        return rows


STRIP_PIXELS = 1 << 15
"""Pixels of a strip of the numpy loops: its float64 planes, about a hundred, take 30 MB a thread."""


def _strips(top: int, bottom: int, width: int) -> list[slice]:
    rows = max(1, STRIP_PIXELS // width)
    return [slice(start, min(start + rows, bottom)) for start in range(top, bottom, rows)]


def _fuse_strip(job: Job, rows: slice) -> None:
    height, width = job.out.shape[:2]
    under, over = (colour.from_codes(_codes(exposure, rows)) for exposure in (job.under, job.over))
    chroma = guided_upsampling.bilinear_rows(job.chroma[..., None], height, width, rows.start, rows.stop)[..., 0]
    factors = None
    if job.drift is not None:
        factors = guided_upsampling.bilinear_rows(job.drift, height, width, rows.start, rows.stop)
    lightness = _lightness(job, under, over, rows)
    fused = reference.coloured(under, over, lightness, chroma, factors, job.settings)
    job.out[rows] = colour.to_codes(fused, job.out.dtype)


def _codes(exposure: FusionInput, rows: slice) -> Pixels:
    if exposure.todo is None or exposure.reference is None:
        return exposure.pixels[rows]
    return exposure_synthesis.exposure(exposure.reference, exposure.pixels, exposure.todo, rows.start, rows.stop)


def _lightness(
    job: Job, under: NDArray[np.floating[Any]], over: NDArray[np.floating[Any]], rows: slice
) -> NDArray[np.floating[Any]]:
    if job.lightness is not None:
        return job.lightness[rows].astype(np.float64)
    assert job.affine is not None
    height, width = job.out.shape[:2]
    coefficients = guided_upsampling.bilinear_rows(job.affine, height, width, rows.start, rows.stop)
    guides = (reference.guide_lightness(encoded, job.settings) for encoded in (under, over))
    return reference.affine_lightness(coefficients, *guides)
