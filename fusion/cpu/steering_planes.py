"""The small planes that steer the pixels of a bracket, from its small pictures and what is remembered of its stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from livemef.fusion.cpu.row_kernels import PixelLoops, Plane, Planes
from livemef.fusion.method.running_means import RunningMeans
from livemef.fusion.motion.steadiness import StreamMemory
from livemef.fusion.settings import FusionSettings


@dataclass(frozen=True)
class SmallBracket:
    """fused: the network's lightness, 0..1. Of each exposure, lights: L*; chromas: C*ab; smalls: h x w x 3, encoded.

    means: of the stream, which this bracket goes into. memory: of the stream, if it steers.
    """

    fused: Plane
    lights: Sequence[Plane]
    chromas: Sequence[Plane]
    smalls: Sequence[Plane]
    settings: FusionSettings
    means: RunningMeans
    memory: StreamMemory | None


@dataclass(frozen=True)
class Steering:
    """See Job."""

    affine: Planes | None
    parts: Planes
    drifts: Sequence[Planes]


def steering(bracket: SmallBracket, loops: PixelLoops) -> Steering:
    """The planes of a bracket, one after the other."""
    settings, means, memory = bracket.settings, bracket.means, bracket.memory
    parts, drifts = loops.chroma_parts(bracket.chromas), drifts_of(bracket.smalls, settings, means, loops)
    target = loops.target_lightness(bracket.fused, bracket.lights[-1], settings, means)
    affine = loops.affine_planes(bracket.lights, target, settings)
    if memory is not None:
        past = memory.past(bracket.smalls[0].shape[:2], settings.window_radius, loops)
        affine, parts = memory.steer(affine, parts, bracket.lights, past, loops)
    return Steering(affine, parts, drifts)


def drifts_of(
    smalls: Sequence[Plane], settings: FusionSettings, means: RunningMeans, loops: PixelLoops
) -> list[Planes]:
    """See Job."""
    if settings.colour != "tone":
        return []
    return [loops.drift_factors(shown) for shown in means.drift_with(loops.drift_evidence(smalls, settings))]
