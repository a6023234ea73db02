"""Rays against boxes, ellipsoids and upright cylinders: where each ray first meets something."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
"""Distances: (rays,). Points, directions and normals: (3, rays); x right, y up, z away from the camera; metres."""

NOTHING = np.float32(np.inf)
_NEAR = np.float32(1e-3)


class Solid(Protocol):
    """A shape that rays can meet."""

    @property
    def bounds(self) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        """Lowest and highest corner of a box around it."""

    def distance(self, origin: Floats, direction: Floats) -> Floats:
        """Along each ray to the first meeting from outside; NOTHING where there is none."""

    def normal(self, point: Floats) -> Floats:
        """Outward, of length 1, at points on the surface."""


@dataclass(frozen=True)
class Box:
    """A box along the axes."""

    low: tuple[float, float, float]
    high: tuple[float, float, float]

    @property
    def bounds(self) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        """Itself."""
        return self.low, self.high

    def distance(self, origin: Floats, direction: Floats) -> Floats:
        """By slabs."""
        enter = np.full(direction.shape[1], -np.inf, np.float32)
        leave = np.full(direction.shape[1], np.inf, np.float32)
        for axis in range(3):
            towards = _not_zero(direction[axis])
            first = (np.float32(self.low[axis]) - origin[axis]) / towards
            second = (np.float32(self.high[axis]) - origin[axis]) / towards
            np.maximum(enter, np.minimum(first, second), out=enter)
            np.minimum(leave, np.maximum(first, second), out=leave)
        return np.where((enter < leave) & (enter > _NEAR), enter, NOTHING)

    def normal(self, point: Floats) -> Floats:
        """Of the face that is nearest."""
        middle = (np.array(self.high) + np.array(self.low))[:, None] / 2
        half = (np.array(self.high) - np.array(self.low))[:, None] / 2
        aside = point - middle
        face = np.argmin(half - np.abs(aside), axis=0)
        normal = np.zeros_like(point)
        columns = np.arange(point.shape[1])
        normal[face, columns] = np.sign(aside[face, columns])
        return normal


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid along the axes."""

    centre: tuple[float, float, float]
    radii: tuple[float, float, float]

    @property
    def bounds(self) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        """The box around it."""
        return _around(self.centre, self.radii)

    def distance(self, origin: Floats, direction: Floats) -> Floats:
        """As a unit sphere in scaled space."""
        radii = np.array(self.radii, np.float32)[:, None]
        start = (origin - np.array(self.centre, np.float32)[:, None]) / radii
        along = direction / radii
        a = (along * along).sum(axis=0)
        b = (start * along).sum(axis=0)
        c = (start * start).sum(axis=0) - 1
        root = b * b - a * c
        near = (-b - np.sqrt(np.maximum(root, 0))) / a
        return np.where((root > 0) & (near > _NEAR), near, NOTHING)

    def normal(self, point: Floats) -> Floats:
        """The gradient."""
        return unit((point - np.array(self.centre)[:, None]) / np.square(self.radii)[:, None])


@dataclass(frozen=True)
class Cylinder:
    """An upright cylinder with a flat top; seen from outside and above. centre: of its foot."""

    centre: tuple[float, float, float]
    radius: float
    height: float

    @property
    def bounds(self) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        """The box around it."""
        x, y, z = self.centre
        return (x - self.radius, y, z - self.radius), (x + self.radius, y + self.height, z + self.radius)

    def distance(self, origin: Floats, direction: Floats) -> Floats:
        """To the mantle or to the top."""
        foot, top = self.centre[1], self.centre[1] + self.height
        x, z = origin[0] - np.float32(self.centre[0]), origin[2] - np.float32(self.centre[2])
        a = _not_zero(direction[0] ** 2 + direction[2] ** 2)
        b = x * direction[0] + z * direction[2]
        root = b * b - a * (x * x + z * z - np.float32(self.radius) ** 2)
        mantle = (-b - np.sqrt(np.maximum(root, 0))) / a
        at = origin[1] + mantle * direction[1]
        mantle = np.where((root > 0) & (mantle > _NEAR) & (at > foot) & (at < top), mantle, NOTHING)
        lid = (np.float32(top) - origin[1]) / _not_zero(direction[1])
        off = (x + lid * direction[0]) ** 2 + (z + lid * direction[2]) ** 2
        lid = np.where((off < np.float32(self.radius) ** 2) & (lid > _NEAR), lid, NOTHING)
        return np.minimum(mantle, lid)

    def normal(self, point: Floats) -> Floats:
        """Up on the top, outward on the mantle."""
        aside = point - np.array(self.centre)[:, None]
        on_top = aside[1] > self.height - 1e-4
        aside[1] = 0
        mantle = aside / np.float32(self.radius)
        return np.where(on_top, np.array([[0.0], [1.0], [0.0]], np.float32), mantle)


def blocked(solids: Sequence[Solid], origin: Floats, direction: Floats, reach: float = 1.0) -> NDArray[np.bool_]:
    """Does anything stand within `reach` (in lengths of `direction`) on each ray?"""
    shadow = np.zeros(origin.shape[1], bool)
    for solid in solids:
        shadow |= solid.distance(origin, direction) < reach
    return shadow


def unit(vectors: Floats) -> Floats:
    """The vectors at length 1."""
    return np.asarray(vectors / np.sqrt((vectors * vectors).sum(axis=0)), np.float32)


def _not_zero(values: Floats) -> Floats:
    return np.where(np.abs(values) < 1e-9, np.float32(1e-9), values)


def _around(
    centre: tuple[float, float, float], radii: tuple[float, float, float]
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    (x, y, z), (a, b, c) = centre, radii
    return (x - a, y - b, z - c), (x + a, y + b, z + c)
