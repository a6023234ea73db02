"""All metrics of a fused picture in one call; each metric has a file of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from livemef.capture.frame import Pixels
from livemef.fusion.metrics.colour import ColourFidelity, colour_fidelity
from livemef.fusion.metrics.detail import average_gradient, edge_transfer, entropy, spatial_frequency
from livemef.fusion.metrics.jnbm import jnbm
from livemef.fusion.metrics.mef_ssim import mef_ssim, mef_ssim_colour

__all__ = [
    "ColourFidelity",
    "Scores",
    "average_gradient",
    "colour_fidelity",
    "edge_transfer",
    "entropy",
    "jnbm",
    "mef_ssim",
    "mef_ssim_colour",
    "score",
    "spatial_frequency",
]


@dataclass(frozen=True)
class Scores:
    """Scores of one fused picture. Higher is better except hue_error (degrees); chroma_ratio is best at 1.

    NaN where a metric is not defined for the picture (jnbm without edges, hue_error without trusted colour).
    """

    mef_ssim: float
    mef_ssim_colour: float
    jnbm: float
    hue_error: float
    chroma_ratio: float
    q_abf: float
    entropy: float
    average_gradient: float
    spatial_frequency: float


def score(exposures: Sequence[Pixels], fused: Pixels) -> Scores:
    """All scores of a fused picture against its exposures: HxWx3 BGR uint8 of one size, 44 pixels a side or more."""
    colour = colour_fidelity(exposures, fused)
    return Scores(
        mef_ssim=mef_ssim(exposures, fused),
        mef_ssim_colour=mef_ssim_colour(exposures, fused),
        jnbm=jnbm(fused),
        hue_error=colour.hue_error,
        chroma_ratio=colour.chroma_ratio,
        q_abf=edge_transfer(exposures, fused),
        entropy=entropy(fused),
        average_gradient=average_gradient(fused),
        spatial_frequency=spatial_frequency(fused),
    )
