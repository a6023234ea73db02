"""The per-pixel work of a fusion as a few loops over rows: the seam between the CPU fuser and whoever runs them.

`compiled.py` has them compiled, `NumpyLoops` here in plain numpy: slower by more than an order of magnitude, but with
nothing to compile, and the definition's own functions. Every loop may run on any rows in any order, in many threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from livemef.capture.frame import Pixels
from livemef.fusion.method import colour, downscale, drift, guide_planes, guided_upsampling, reference
from livemef.fusion.method.running_means import RunningMeans
from livemef.fusion.motion import compensation, exposure_synthesis
from livemef.fusion.motion.exposure_synthesis import Compensation
from livemef.fusion.motion.grid_loops import GridLoops
from livemef.fusion.motion.loops import DefinedLoops
from livemef.fusion.settings import FusionSettings

Plane = NDArray[np.float32]
Planes = NDArray[np.floating[Any]]
"""Small planes, height x width x their number: of float64 by the definition, of float32 by the compiled loops."""
Rows = Callable[[int, int], None]


@dataclass(frozen=True)
class FusionInput:
    """An exposure to be fused, H x W x 3: as it is, or changed by `todo` to what it would have been at the reference's
    moment.
    """

    pixels: Pixels
    todo: Compensation | None = None


@dataclass(frozen=True)
class Job:
    """Exposures to fuse into `out` (all H x W x 3, one dtype), dark to bright, and what steers it.

    reference: the exposure whose moment the others are changed to, each by its neighbour towards it, see
    `compensation.towards`. planes: h x w x their number, N + 1 coefficients in L* units, then N - 1 parts of the chroma
    where it is compared, see `guide_planes.compares_chroma`. lightness: the fused L* of every pixel, H x W in 0..100,
    instead of the coefficients, which are 0 then. drifts: for colour "tone", h x w x 3 for each exposure but the
    brightest, see `drift.factors`. gain: on the coefficients.
    """

    inputs: Sequence[FusionInput]
    reference: int
    out: Pixels
    settings: FusionSettings
    planes: Planes
    lightness: Plane | None = None
    drifts: Sequence[Planes] = ()
    gain: float = 1.0


class PixelLoops(GridLoops, Protocol):
    """The loops. Those over pixels return a function that does rows top..bottom (exclusive) of their result."""

    name: str

    def run(self, rows: Rows) -> bool:
        """Do all rows on threads of the loops' own. False: they have none, and nothing is done."""
        ...

    def shrink(self, pixels: Pixels, shrunk: Plane) -> Rows:
        """Fill `shrunk` (h x w x 3, encoded 0..1) with area averages of the picture."""
        ...

    def small_lab(self, shrunk: Plane, settings: FusionSettings, chroma: bool) -> tuple[Plane, Plane | None]:
        """Lightness (see `reference.guide_lightness`) and, if wanted, C*ab of a small picture (h x w x 3, encoded
        0..1).
        """
        ...

    def chroma_parts(self, chromas: Sequence[Plane]) -> Planes:
        """The exposures' parts of the regional chroma: see `guide_planes.chroma_parts`."""
        ...

    def drift_evidence(self, smalls: Sequence[Plane], settings: FusionSettings) -> Planes:
        """Evidence of colour drift (N - 1 x h x w x 6) in small pictures (h x w x 3, encoded 0..1)."""
        ...

    def drift_factors(self, evidence: Planes) -> Planes:
        """The drift's factors (h x w x 3), of one exposure and the next (h x w x 6)."""
        ...

    def target_lightness(
        self, fused: Plane, brightest: Plane, settings: FusionSettings, means: RunningMeans
    ) -> NDArray[np.floating[Any]]:
        """The L* (h x w, 0..100) that the small picture shall have: see `guide_planes.target_lightness`."""
        ...

    def affine_planes(
        self, lights: Sequence[Plane], target: NDArray[np.floating[Any]], settings: FusionSettings
    ) -> Planes:
        """Coefficients (h x w x N + 1) of the target L*: see `guide_planes.affine_planes`."""
        ...

    def lightness(self, pixels: Pixels, lightness: Plane, settings: FusionSettings) -> Rows:
        """Fill `lightness` (H x W) with the pixels' lightness, 0..100: see `reference.guide_lightness`."""
        ...

    def fuse(self, job: Job) -> Rows:
        """Fill the job's `out`."""
        ...

    def remake(self, reference: Pixels, other: Pixels, todo: Compensation, out: Pixels) -> Rows:
        """Fill `out` with the other exposure as of the reference's moment."""
        ...


class NumpyLoops(DefinedLoops):
    """The loops by the definition's functions, in float64, a few rows at a time so that memory stays bounded."""

    name = "numpy"

    def run(self, rows: Rows) -> bool:
        """See PixelLoops."""
        return False

    def shrink(self, pixels: Pixels, shrunk: Plane) -> Rows:
        """See PixelLoops."""
        height, width = shrunk.shape[:2]

        def rows(top: int, bottom: int) -> None:
            averages = downscale.area_average(pixels, height, width, top, bottom)
            shrunk[top:bottom] = averages / np.iinfo(pixels.dtype).max

        return rows

    def small_lab(self, shrunk: Plane, settings: FusionSettings, chroma: bool) -> tuple[Plane, Plane | None]:
        """See PixelLoops."""
        lightness, a, b = reference.small_lab(shrunk, settings)
        return lightness.astype(np.float32), np.hypot(a, b).astype(np.float32) if chroma else None

    def chroma_parts(self, chromas: Sequence[Plane]) -> Planes:
        """See PixelLoops."""
        return guide_planes.chroma_parts(chromas)

    def drift_evidence(self, smalls: Sequence[Plane], settings: FusionSettings) -> Planes:
        """See PixelLoops."""
        return drift.evidence_of_all(smalls, settings.shoulder)

    def drift_factors(self, evidence: Planes) -> Planes:
        """See PixelLoops."""
        return drift.factors(evidence)

    def target_lightness(
        self, fused: Plane, brightest: Plane, settings: FusionSettings, means: RunningMeans
    ) -> NDArray[np.floating[Any]]:
        """See PixelLoops."""
        return guide_planes.target_lightness(fused, brightest, settings, means)

    def affine_planes(
        self, lights: Sequence[Plane], target: NDArray[np.floating[Any]], settings: FusionSettings
    ) -> Planes:
        """See PixelLoops."""
        return guide_planes.affine_planes(lights, target.astype(np.float64), settings)

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

    def remake(self, reference: Pixels, other: Pixels, todo: Compensation, out: Pixels) -> Rows:
        """See PixelLoops."""

        def rows(top: int, bottom: int) -> None:
            for strip in _strips(top, bottom, out.shape[1]):
                out[strip] = exposure_synthesis.exposure(reference[strip], other, todo, strip.start, strip.stop)

        return rows


STRIP_PIXELS = 1 << 15
"""Pixels of a strip of the numpy loops: its float64 planes, about a hundred, take 30 MB a thread."""


def _strips(top: int, bottom: int, width: int) -> list[slice]:
    rows = max(1, STRIP_PIXELS // width)
    return [slice(start, min(start + rows, bottom)) for start in range(top, bottom, rows)]


def _fuse_strip(job: Job, rows: slice) -> None:
    height, width = job.out.shape[:2]

    def widened(planes: Planes) -> Planes:
        return guided_upsampling.bilinear_rows(planes, height, width, rows.start, rows.stop)

    codes = [colour.from_codes(pixels) for pixels in _of_one_moment(job, rows)]
    affine, parts = np.split(job.planes, [len(codes) + 1], axis=-1)
    if job.lightness is not None:
        lightness: NDArray[np.floating[Any]] = job.lightness[rows].astype(np.float64)
    else:
        guides = [reference.guide_lightness(encoded, job.settings) for encoded in codes]
        lightness = reference.affine_lightness(widened(affine * job.gain), guides)
    factors = [widened(planes) for planes in job.drifts]
    fused = reference.coloured(codes, lightness, widened(parts), factors, job.settings)
    job.out[rows] = colour.to_codes(fused, job.out.dtype)


def _of_one_moment(job: Job, rows: slice) -> list[Pixels]:
    """Rows of the exposures as of the reference's moment."""
    found = [exposure.pixels[rows] for exposure in job.inputs]
    for index in compensation.outward(job.reference, len(found)):
        todo = job.inputs[index].todo
        if todo is not None:
            seen = found[compensation.towards(job.reference, index)]
            found[index] = exposure_synthesis.exposure(seen, job.inputs[index].pixels, todo, rows.start, rows.stop)
    return found
