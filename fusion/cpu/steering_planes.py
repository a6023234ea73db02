"""The small planes that steer the pixels of a bracket, from its small pictures and what is remembered of its stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from livemef.fusion.cpu.row_kernels import PixelLoops, Plane, Planes
from livemef.fusion.method.running_means import RunningMeans
from livemef.fusion.motion.steadiness import StreamMemory
from livemef.fusion.settings import FusionSettings


@dataclass(frozen=True)
class SmallBracket:
    """fused: the network's lightness, 0..1. Of each exposure, lights: L*; chromas: C*ab, none where it is not compared;
    smalls: h x w x 3, encoded.

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

    planes: Planes
    drifts: Sequence[Planes]
    gain: float = 1.0


def steering(bracket: SmallBracket, loops: PixelLoops) -> Steering:
    """The planes of a bracket, one after the other."""
    settings, means, memory = bracket.settings, bracket.means, bracket.memory
    drifts = drifts_of(bracket.smalls, settings, means, loops)
    target = loops.target_lightness(bracket.fused, bracket.lights[-1], settings, means)
    planes = with_parts(loops.affine_planes(bracket.lights, target, settings), bracket.chromas, loops)
    if memory is not None:
        past = memory.past(bracket.smalls[0].shape[:2], settings.window_radius, loops)
        planes = memory.steer(planes, bracket.lights, past, loops)
    return Steering(planes, drifts)


def with_parts(affine: Planes, chromas: Sequence[Plane], loops: PixelLoops) -> Planes:
    """The coefficients, then the parts of the chroma, if any is compared."""
    return np.concatenate([affine, loops.chroma_parts(chromas)], axis=-1) if chromas else affine


def drifts_of(
    smalls: Sequence[Plane], settings: FusionSettings, means: RunningMeans, loops: PixelLoops
) -> list[Planes]:
    """See Job."""
    if settings.colour != "tone":
        return []
    return [loops.drift_factors(shown) for shown in means.drift_with(loops.drift_evidence(smalls, settings))]
