"""The room, ray by ray."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.capture.cameras.simulation.daylight_map import SPACING, DaylightMap, Surfaces
from livemef.capture.cameras.simulation.furniture import BEHIND, WINDOW, Thing, furnish
from livemef.capture.cameras.simulation.outdoors import outdoors
from livemef.capture.cameras.simulation.raycast import NOTHING, Floats, unit
from livemef.capture.cameras.simulation.room_light import mirrored, room_light, sunlight
from livemef.capture.cameras.simulation.textures import mix, noise, noise_tile, plain, plaster, step, wood

EYE = (-0.25, 1.42, -1.15)
_LEFT, _RIGHT, _CEILING = -3.0, 3.0, 2.8
_REVEAL = 0.2
"""Thickness of the back wall, m."""
_HALF_WIDTH, _HORIZON = 0.60, 0.40
"""Of the picture: tangent of half the field of view; where the horizon is, from the top."""
_STRIP = 128
_LENS_BLUR = 0.55
_OFF = np.float32(2e-3)
"""Metres above a surface at which rays towards the light begin."""
_OUTSIDE, _WALLS = -2, -1


class _Tracer:
    """The furnished room on a picture of height x width pixels."""

    def __init__(self, height: int, width: int) -> None:
        self._height, self._width = height, width
        self._things = furnish()
        self._solids = [one.solid for one in self._things if one.casts_shadow]
        self._outlines = [_on_picture(one, height, width) for one in self._things]
        self._daylight = self._gather_daylight()

    def trace(self, x: Floats, y: Floats) -> tuple[Floats, NDArray[np.int32]]:
        """Radiance (3, n) at places of the picture, and the number of the thing that is seen there."""
        direction, hits = self._meet(x, y)
        light = np.empty_like(direction)
        out = hits.thing == _OUTSIDE
        light[:, out] = outdoors(direction[:, out])
        inside = np.flatnonzero(~out)
        light[:, inside] = self._shade(hits[inside], x[inside], y[inside], direction[:, inside])
        return light, hits.thing

    def _meet(self, x: Floats, y: Floats) -> tuple[Floats, Surfaces]:
        focal = self._width / 2 / _HALF_WIDTH
        across, up = (x - self._width / 2) / focal, (self._height * _HORIZON - y) / focal
        direction = unit(np.stack([across, up, np.ones_like(x)]))
        return direction, self._nearest(direction, x, y)

    def _nearest(self, direction: Floats, x: Floats, y: Floats) -> Surfaces:
        eye = np.array(EYE, np.float32)[:, None]
        distance, normal, wall = _walls(eye, direction)
        thing = np.where(wall, _WALLS, _OUTSIDE).astype(np.int32)
        for number, (left, right, top, bottom) in enumerate(self._outlines):
            near = np.flatnonzero((x >= left) & (x <= right) & (y >= top) & (y <= bottom))
            if not near.size:
                continue
            reach = self._things[number].solid.distance(np.broadcast_to(eye, (3, near.size)), direction[:, near])
            closer = reach < distance[near]
            distance[near[closer]] = reach[closer]
            thing[near[closer]] = number
        point = (eye + direction * distance).astype(np.float32)
        for number in np.unique(thing[thing >= 0]):
            chosen = np.flatnonzero(thing == number)
            normal[:, chosen] = self._things[number].solid.normal(point[:, chosen])
        return Surfaces(thing, point, normal)

    def _gather_daylight(self) -> DaylightMap:
        rows, columns = -(-self._height // SPACING), -(-self._width // SPACING)
        column, row = np.meshgrid(np.arange(columns, dtype=np.float32), np.arange(rows, dtype=np.float32))
        _, hits = self._meet((column.ravel() + 0.5) * SPACING, (row.ravel() + 0.5) * SPACING)
        hits.point += hits.normal * _OFF
        return DaylightMap(rows, columns, hits, self._solids)

    def _shade(self, hits: Surfaces, x: Floats, y: Floats, direction: Floats) -> Floats:
        reflectance, gloss, glow = _surface(hits, self._things)
        start = hits.point + hits.normal * _OFF
        light = self._daylight.read(x, y, Surfaces(hits.thing, start, hits.normal))
        light += sunlight(start, hits.normal, self._solids) + room_light(start, hits.normal) + _in_opening(hits.point)
        return reflectance * light / np.float32(np.pi) + mirrored(start, hits.normal, direction, gloss) + glow


def trace_room(height: int, width: int) -> NDArray[np.float32]:
    """Radiance of the room, linear BGR, height x width x 3; edges smoothed by more rays."""
    tracer = _Tracer(height, width)
    picture = np.empty((height, width, 3), np.float32)
    thing = np.empty((height, width), np.int32)
    for top in range(0, height, _STRIP):
        rows = np.arange(top, min(top + _STRIP, height))
        x, y = (grid.ravel().astype(np.float32) for grid in np.meshgrid(np.arange(width) + 0.5, rows + 0.5))
        colour, which = tracer.trace(x, y)
        picture[rows] = colour.T.reshape(len(rows), width, 3)
        thing[rows] = which.reshape(len(rows), width)
    _smooth_edges(picture, thing, tracer)
    noise_tile.cache_clear()
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), _LENS_BLUR * max(1.0, width / 1344)), np.float32)


def _smooth_edges(picture: NDArray[np.float32], thing: NDArray[np.int32], tracer: _Tracer) -> None:
    seam = np.zeros(thing.shape, bool)
    for axis in (0, 1):
        differs = np.diff(thing, axis=axis) != 0
        before, after = (slice(None, -1), slice(1, None))
        seam[(before, slice(None)) if axis == 0 else (slice(None), before)] |= differs
        seam[(after, slice(None)) if axis == 0 else (slice(None), after)] |= differs
    y, x = np.nonzero(seam)
    total = np.zeros((3, x.size), np.float32)
    corners = ((0.125, 0.375), (0.375, 0.875), (0.625, 0.125), (0.875, 0.625))
    for dx, dy in corners:
        for part in np.array_split(np.arange(x.size), 1 + x.size // 150000):
            at_x, at_y = (x[part] + dx).astype(np.float32), (y[part] + dy).astype(np.float32)
            total[:, part] += tracer.trace(at_x, at_y)[0]
    picture[y, x] = (total / len(corners)).T


def _walls(eye: Floats, direction: Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Distance and normal of the room's shell along each ray, and whether it meets it (or leaves by the window)."""
    planes = (
        (1, 0.0, (0, 1, 0)),
        (1, _CEILING, (0, -1, 0)),
        (0, _LEFT, (1, 0, 0)),
        (0, _RIGHT, (-1, 0, 0)),
        (2, BEHIND, (0, 0, -1)),
    )
    distance = np.full(direction.shape[1], NOTHING)
    normal = np.zeros_like(direction)
    for axis, at, facing in planes:
        towards = np.where(np.abs(direction[axis]) < 1e-9, np.float32(1e-9), direction[axis])
        reach = (np.float32(at) - eye[axis]) / towards
        closer = (reach > 0) & (reach < distance)
        distance = np.where(closer, reach, distance)
        normal = np.where(closer, np.array(facing, np.float32)[:, None], normal)
    meets = np.ones(direction.shape[1], bool)
    point = eye + direction * distance
    opening = np.flatnonzero(_in_window(point) & (normal[2] < 0))
    through, side, wall = _reveal(eye, direction[:, opening])
    distance[opening], normal[:, opening], meets[opening] = through, side, wall
    return distance, normal, meets


def _reveal(eye: Floats, direction: Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """The sides of the opening, for rays that enter it."""
    left, right, low, high = WINDOW
    distance = (np.float32(BEHIND + _REVEAL) - eye[2]) / direction[2]
    normal = np.zeros_like(direction)
    wall = np.zeros(direction.shape[1], bool)
    sides = ((0, left, (1, 0, 0)), (0, right, (-1, 0, 0)), (1, low, (0, 1, 0)), (1, high, (0, -1, 0)))
    for axis, at, facing in sides:
        towards = np.where(np.abs(direction[axis]) < 1e-9, np.float32(1e-9), direction[axis])
        reach = (np.float32(at) - eye[axis]) / towards
        closer = (reach > 0) & (reach < distance) & (towards * sum(facing) < 0)
        distance = np.where(closer, reach, distance)
        normal = np.where(closer, np.array(facing, np.float32)[:, None], normal)
        wall |= closer
    return distance, normal, wall


def _in_window(point: Floats) -> NDArray[np.bool_]:
    left, right, low, high = WINDOW
    return np.asarray((point[0] > left) & (point[0] < right) & (point[1] > low) & (point[1] < high))


def _on_picture(thing: Thing, height: int, width: int) -> tuple[float, float, float, float]:
    """Left, right, top, bottom of the thing's outline on the picture, a little wide."""
    focal = width / 2 / _HALF_WIDTH
    low, high = thing.solid.bounds
    corners = [(x, y, z) for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])]
    across = [width / 2 + focal * (x - EYE[0]) / (z - EYE[2]) for x, _, z in corners]
    down = [height * _HORIZON - focal * (y - EYE[1]) / (z - EYE[2]) for _, y, z in corners]
    return min(across) - 1, max(across) + 1, min(down) - 1, max(down) + 1


def _in_opening(point: Floats) -> Floats:
    """Daylight on the frame and the sides of the opening, which lie beyond the plane that light is gathered from."""
    beyond = step(BEHIND - 0.004, BEHIND + 0.004, point[2])
    light = np.array([[4.2], [4.0], [3.7]], np.float32)
    return np.asarray(light * beyond * (0.35 + 4.0 * np.maximum(point[2] - BEHIND, 0)))


def _surface(hits: Surfaces, things: list[Thing]) -> tuple[Floats, Floats, Floats]:
    """Reflectance, gloss and glow of what was met."""
    reflectance, glow = np.zeros_like(hits.point), np.zeros_like(hits.point)
    gloss = np.zeros(hits.thing.size, np.float32)
    for number in np.unique(hits.thing):
        chosen = np.flatnonzero(hits.thing == number)
        point = hits.point[:, chosen]
        if number == _WALLS:
            reflectance[:, chosen], gloss[chosen] = _shell(point, hits.normal[:, chosen])
        else:
            reflectance[:, chosen] = things[number].paint(point)
            gloss[chosen] = things[number].gloss
            glow[:, chosen] = plain(things[number].glow, chosen.size)
    return reflectance, gloss, glow


def _shell(point: Floats, normal: Floats) -> tuple[Floats, Floats]:
    """Reflectance and gloss of floor, walls and ceiling."""
    floor, ceiling = normal[1] > 0.5, normal[1] < -0.5
    along = np.where(np.abs(normal[0]) > 0.5, point[2], point[0])
    colour = plaster(along, point[1], (0.44, 0.52, 0.56))
    skirting = step(0.0, 0.003, 0.1 - point[1])
    colour = colour + (plain((0.6, 0.64, 0.66), along.size) - colour) * skirting
    colour = np.where(ceiling, plaster(point[0], point[2], (0.66, 0.70, 0.72)), colour)
    boards = wood(point[2], point[0], (0.11, 0.25, 0.44), (0.05, 0.13, 0.27), 0.14)
    rug, on_rug = _rug(point)
    ground = boards + (rug - boards) * on_rug
    gloss = np.where(floor & (on_rug < 0.5) & (point[2] < BEHIND), np.float32(0.35), np.float32(0))
    return np.where(floor & (point[2] < BEHIND), ground, colour), gloss.astype(np.float32)


def _rug(point: Floats) -> tuple[Floats, Floats]:
    """A woven rug: its reflectance, and where it lies."""
    u, v = (point[0] + 0.25) / 1.25, (point[2] - 3.35) / 0.95
    edge = np.maximum(np.abs(u), np.abs(v))
    diamonds = np.abs(np.mod(u * 4, 1) - 0.5) + np.abs(np.mod(v * 3, 1) - 0.5)
    colour = mix((0.10, 0.10, 0.42), (0.42, 0.55, 0.62), step(0.45, 0.5, diamonds))
    border = step(0.84, 0.85, edge) * (1 - step(0.93, 0.94, edge))
    colour = colour + (plain((0.26, 0.12, 0.07), u.size) - colour) * border
    pile = 1 + 0.12 * noise(point[0] * 1.5, point[2] * 1.5, 52, 0.7)
    return (colour * pile).astype(np.float32), 1 - step(0.995, 1.0, edge)
