"""Targets as data: where on a sheet the chart, slanted edges, even grey and the marks of a scale lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field, TypeAdapter

from livemef.calibration.quality.definitions import Definitions

Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Place = tuple[Finite, Finite]
Box = tuple[Finite, Finite, Positive, Positive]


@dataclass(frozen=True, kw_only=True)
class Target:
    """A sheet with a ColorChecker Classic on it; lengths in sides of a patch, from the outer corner of dark skin.

    edges: boxes (x, y, width, height) with one slanted edge each. even: boxes of one grey. marks: centres of two round
    dark marks. patch_mm: side of a patch in millimetres, None = not known, and then there is no scale.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: str
    source: str = ""
    patch_mm: Positive | None = None
    edges: tuple[Box, ...] = ()
    even: tuple[Box, ...] = ()
    marks: tuple[Place, Place] | None = None


_TARGETS = Definitions("target", TypeAdapter(tuple[Target, ...]))
shipped_targets, load_targets, find_target = _TARGETS.shipped, _TARGETS.load, _TARGETS.find
