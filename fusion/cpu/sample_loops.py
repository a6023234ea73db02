"""What is done to samples of the pixels (`pixel_samples`), by the loops over pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from livemef.capture.frame import Pixels
from livemef.fusion.cpu.row_kernels import PixelLoops, Plane, Rows
from livemef.fusion.motion import pixel_samples
from livemef.fusion.motion.compensation import Moments, MotionReport, OneMoment
from livemef.fusion.motion.exposure_synthesis import Compensation
from livemef.fusion.motion.steadiness import StreamMemory
from livemef.fusion.settings import FusionSettings


@dataclass(frozen=True)
class SampleLoops:
    """On whole small pictures at once."""

    loops: PixelLoops
    settings: FusionSettings

    def remake(self, reference: Pixels, other: Pixels, todo: Compensation) -> Pixels:
        """The other exposure as of the reference's moment."""
        out = np.empty_like(other)
        self._run(self.loops.remake(reference, other, todo, out), len(out))
        return out

    def lightness(self, pixels: Pixels) -> Plane:
        """See reference.guide_lightness."""
        out = np.empty(pixels.shape[:2], np.float32)
        self._run(self.loops.lightness(pixels, out, self.settings), len(out))
        return out

    def _run(self, work: Rows, rows: int) -> None:
        if not self.loops.run(work):
            work(0, rows)


def report(
    loops: PixelLoops,
    settings: FusionSettings,
    memory: StreamMemory,
    exposures: Sequence[Pixels],
    found: OneMoment,
    moments: Moments,
) -> MotionReport:
    """What was done about motion; of a stream's bracket the samples are noted that its lightness is levelled by."""
    summary = found.report()
    if moments.place is not None and settings.network_lines:  # else nothing is steered
        samples = SampleLoops(loops, settings)
        pixel_samples.note(memory, exposures, found, summary.mask, samples.lightness, samples.remake)
    return summary
