"""All metrics of a fused picture in one call; each metric has a file of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from livemef.capture.frame import Pixels
from livemef.fusion.metrics.camera_colour import CameraColour, camera_colour
from livemef.fusion.metrics.colour import ColourFidelity, colour_fidelity
from livemef.fusion.metrics.detail import average_gradient, edge_transfer, entropy, spatial_frequency
from livemef.fusion.metrics.jnbm import jnbm
from livemef.fusion.metrics.mef_ssim import mef_ssim, mef_ssim_colour

__all__ = [
    "CameraColour",
    "ColourFidelity",
    "Scores",
    "average_gradient",
    "camera_colour",
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
    """Scores of one fused picture. Higher is better, except for errors; ratios are best at 1.

    camera_colour_error to camera_hue_error: against the camera's own rendering at the fused lightness, see
    `camera_colour`. hue_error (degrees) and chroma_ratio: against the better exposure of each pixel. NaN where a metric
    is not defined for the picture (jnbm without edges, hue_error without trusted colour, the camera's colour for fewer
    than three exposures).
    """

    mef_ssim: float
    mef_ssim_colour: float
    jnbm: float
    camera_colour_error: float
    large_colour_errors: float
    camera_chroma_ratio: float
    camera_hue_error: float
    hue_error: float
    chroma_ratio: float
    q_abf: float
    entropy: float
    average_gradient: float
    spatial_frequency: float


def score(exposures: Sequence[Pixels], fused: Pixels, series: Sequence[Pixels] | None = None) -> Scores:
    """All scores of a fused picture against its exposures: HxWx3 BGR uint8 of one size, 44 pixels a side or more.

    series: all exposures of the scene, dark to bright, if not all of them were fused: they show the camera's colours.
    """
    colour, camera = colour_fidelity(exposures, fused), camera_colour(series or exposures, fused)
    return Scores(
        mef_ssim=mef_ssim(exposures, fused),
        mef_ssim_colour=mef_ssim_colour(exposures, fused),
        jnbm=jnbm(fused),
        camera_colour_error=camera.error,
        large_colour_errors=camera.large,
        camera_chroma_ratio=camera.chroma,
        camera_hue_error=camera.hue,
        hue_error=colour.hue_error,
        chroma_ratio=colour.chroma_ratio,
        q_abf=edge_transfer(exposures, fused),
        entropy=entropy(fused),
        average_gradient=average_gradient(fused),
        spatial_frequency=spatial_frequency(fused),
    )
