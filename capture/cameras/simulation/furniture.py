"""What stands in the simulated room, and how it is painted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from livemef.capture.cameras.simulation.raycast import Box, Cylinder, Ellipsoid, Floats, Solid
from livemef.capture.cameras.simulation.textures import Colour, chance, fabric, mix, noise, plain, step, wood

Paint = Callable[[Floats], Floats]
"""Reflectance (3, n), linear BGR, at points (3, n)."""

BEHIND = 5.0
"""z of the back wall."""
WINDOW = (0.45, 2.15, 0.95, 2.35)
"""The opening in the back wall: x from, to, y from, to."""
LAMP = (-2.2, 1.62, 4.35)
TABLE_TOP = 0.75

_CHART_SRGB = (
    "735244 c29682 627a9d 576c43 8580b1 67bdaa d67e2c 505ba6 c15a63 5e3c6c 9dbc40 e0a32e "
    "383d96 469449 af363c e7c71f bb5695 0885a1 f3f3f2 c8c8c8 a0a0a0 7a7a79 555555 343434"
)
"""The 24 patches of a classic colour chart (published sRGB values), row by row."""


@dataclass(frozen=True)
class Thing:
    """A solid with its paint. gloss: share of a mirror's reflection; glow: radiance of its own."""

    solid: Solid
    paint: Paint
    gloss: float = 0.0
    glow: Colour = (0.0, 0.0, 0.0)
    casts_shadow: bool = True


def furnish() -> list[Thing]:
    """All things in the room."""
    return [
        *_table(),
        *_fruit(),
        *_vase(),
        *_table_ware(),
        *_shelf(),
        *_armchair(),
        *_plant(),
        *_lamp(),
        *_window_frame(),
    ]


def _paint(colour: Colour) -> Paint:
    return lambda point: plain(colour, point.shape[1])


def _cloth(colour: Colour) -> Paint:
    return lambda point: fabric(point[0] + point[2], point[1] - point[2], colour)


def _planks(point: Floats) -> Floats:
    return wood(point[0], point[2] + point[1], (0.10, 0.22, 0.40), (0.035, 0.09, 0.19), 0.2)


def _table() -> list[Thing]:
    top = Thing(Box((-1.45, TABLE_TOP - 0.05, 1.45), (0.8, TABLE_TOP, 2.5)), _planks, gloss=0.3)
    legs = [
        Thing(Box((x, 0, z), (x + 0.07, TABLE_TOP - 0.05, z + 0.07)), _planks)
        for x in (-1.4, 0.68)
        for z in (1.5, 2.38)
    ]
    return [top, *legs]


def _skin(colour: Colour, spot: Colour, point: Floats) -> Floats:
    return mix(colour, spot, 0.25 + 0.35 * noise(point[0] * 2.1, point[1] * 1.3 + point[2], 41))


def _fruit() -> list[Thing]:
    table = TABLE_TOP
    return [
        Thing(
            Ellipsoid((-1.0, table + 0.088, 1.95), (0.092, 0.088, 0.092)),
            partial(_skin, (0.01, 0.2, 0.75), (0.02, 0.28, 0.8)),
            0.4,
        ),
        Thing(
            Ellipsoid((-0.80, table + 0.08, 1.88), (0.086, 0.08, 0.086)),
            partial(_skin, (0.02, 0.03, 0.5), (0.05, 0.2, 0.6)),
            0.8,
        ),
        Thing(
            Ellipsoid((-0.93, table + 0.075, 1.74), (0.08, 0.075, 0.08)),
            partial(_skin, (0.04, 0.42, 0.3), (0.05, 0.5, 0.45)),
            0.8,
        ),
        Thing(
            Ellipsoid((-0.70, table + 0.045, 1.70), (0.045, 0.045, 0.075)),
            partial(_skin, (0.02, 0.55, 0.7), (0.03, 0.6, 0.75)),
            0.4,
        ),
    ]


def _vase() -> list[Thing]:
    x, z, foot = 0.12, 2.15, TABLE_TOP
    glaze = partial(_skin, (0.32, 0.10, 0.03), (0.42, 0.22, 0.08))
    body = [
        Thing(Ellipsoid((x, foot + 0.17, z), (0.14, 0.17, 0.14)), glaze, 1.0),
        Thing(Cylinder((x, foot + 0.28, z), 0.055, 0.10), glaze, 1.0),
    ]
    colours = ((0.05, 0.04, 0.70), (0.05, 0.55, 0.80), (0.75, 0.75, 0.80), (0.45, 0.18, 0.70))
    random = np.random.default_rng(5)
    flowers = []
    for number in range(11):
        dx, dz = random.uniform(-0.21, 0.21), random.uniform(-0.12, 0.12)
        y = foot + random.uniform(0.48, 0.78) - 0.6 * abs(dx)
        radius = random.uniform(0.035, 0.055)
        flowers.append(
            Thing(
                Ellipsoid((x + dx, y, z + dz), (radius, 0.8 * radius, radius)),
                _petals(colours[number % 4], x + dx, y),
                casts_shadow=False,
            )
        )
        stem = foot + 0.36
        flowers.append(
            Thing(
                Cylinder((x + 0.75 * dx, stem, z + 0.75 * dz), 0.006, y - stem),
                _paint((0.05, 0.25, 0.10)),
                casts_shadow=False,
            )
        )
    leaves = [
        Thing(Ellipsoid((x + dx, foot + dy, z - 0.02), (0.06, 0.05, 0.06)), _leaf, casts_shadow=False)
        for dx, dy in ((-0.09, 0.42), (0.09, 0.43), (0.0, 0.40), (-0.04, 0.49), (0.06, 0.51), (-0.13, 0.50))
    ]
    return [*body, *flowers, *leaves]


def _petals(colour: Colour, x: float, y: float) -> Paint:
    def paint(point: Floats) -> Floats:
        turn = np.arctan2(point[1] - y, point[0] - x)
        return np.asarray(plain(colour, point.shape[1]) * (0.75 + 0.25 * np.cos(9 * turn)))

    return paint


def _leaf(point: Floats) -> Floats:
    return mix((0.02, 0.12, 0.04), (0.06, 0.32, 0.14), 0.5 + 0.3 * noise(point[0] * 3, point[1] * 3 + point[2], 42))


def _table_ware() -> list[Thing]:
    table = TABLE_TOP
    covers = ((0.30, 0.10, 0.06), (0.08, 0.08, 0.45), (0.10, 0.35, 0.55))
    books = [
        Thing(
            Box(
                (0.36 + 0.02 * n, table + 0.04 * n, 1.66 + 0.015 * n), (0.68 - 0.015 * n, table + 0.04 * (n + 1), 1.90)
            ),
            partial(_book, cover, table + 0.04 * n),
            0.2,
        )
        for n, cover in enumerate(covers)
    ]
    mug = Thing(Cylinder((-0.34, table, 1.70), 0.052, 0.115), _mug, 0.9)
    chart = Thing(Box((-0.62, table + 0.01, 2.22), (-0.16, table + 0.33, 2.24)), _chart)
    return [*books, mug, chart]


def _book(cover: Colour, bottom: float, point: Floats) -> Floats:
    pages = step(0.006, 0.008, point[1] - bottom) * step(0.006, 0.008, bottom + 0.04 - point[1]) * (point[2] > 1.69)
    return mix(cover, (0.55, 0.68, 0.72), pages)


def _mug(point: Floats) -> Floats:
    band = step(0.03, 0.032, point[1] - TABLE_TOP) * step(0.03, 0.032, TABLE_TOP + 0.10 - point[1])
    return mix((0.75, 0.78, 0.80), (0.45, 0.12, 0.04), band)


def _chart(point: Floats) -> Floats:
    codes = np.array([[int(patch[k : k + 2], 16) for k in (4, 2, 0)] for patch in _CHART_SRGB.split()]) / 255
    patches = (((codes + 0.055) / 1.055) ** 2.4).astype(np.float32)
    u, v = (point[0] + 0.62) / 0.46 * 6, (TABLE_TOP + 0.33 - point[1]) / 0.32 * 4
    column, row = (np.clip(np.floor(a), 0, last).astype(int) for a, last in ((u, 5), (v, 3)))
    colour = patches[row * 6 + column].T
    rim = (np.abs(u - np.floor(u) - 0.5) > 0.44) | (np.abs(v - np.floor(v) - 0.5) > 0.44)
    return np.where(rim, np.float32(0.03), colour)


def _shelf() -> list[Thing]:
    return [
        Thing(Box((-1.45, 0.0, 4.68), (-0.15, 1.95, BEHIND)), _books_on_shelf),
        Thing(Box((-2.85, 1.25, BEHIND - 0.04), (-1.70, 2.15, BEHIND)), _painting, casts_shadow=False),
    ]


def _books_on_shelf(point: Floats) -> Floats:
    """Rows of book spines, painted on the front of the shelf."""
    board = wood(point[0], point[1], (0.10, 0.18, 0.28), (0.05, 0.10, 0.17), 0.5)
    u, v = point[0] * 22, (point[1] - 0.06) / 0.375
    book, row = np.floor(u + 0.4 * np.sin(np.floor(u))), np.floor(v)
    inside_v = v - row
    height = 0.55 + 0.3 * chance(book, row)
    hue = chance(book + 7, row + 3)
    colour = 0.30 * (0.55 + 0.45 * np.cos(6.28 * (hue + np.array([[0.62], [0.30], [0.0]])))) ** 1.5
    spine = np.abs(u + 0.4 * np.sin(np.floor(u)) - book - 0.5)
    title = (np.abs(inside_v - 0.5) < 0.13) & (spine < 0.22) & (noise(u * 3.0, v * 11.0, 43, 0.4) > 0.2)
    colour = np.where(title, 0.45, colour * (1 - 0.7 * step(0.36, 0.5, spine)))
    colour = np.where(inside_v < height, colour, 0.015)
    rim = (inside_v > 0.93) | (point[0] < -1.42) | (point[0] > -0.18) | (row < 0) | (row > 4) | (point[2] > 4.69)
    return np.where(rim, board, colour).astype(np.float32)


def _painting(point: Floats) -> Floats:
    """A framed seascape at sunset."""
    u, v = (point[0] + 2.85) / 1.15, (point[1] - 1.25) / 0.9
    brush = 0.05 * noise(u * 1.6, v * 2.2, 44, 1.0)
    sky = mix((0.10, 0.28, 0.72), (0.45, 0.18, 0.16), (v - 0.4) * 1.6 + brush * 3)
    sea = mix(
        (0.30, 0.22, 0.10),
        (0.12, 0.26, 0.50),
        0.3 + 3.5 * noise(u * 0.9, v * 6, 45) * np.exp(-9 * np.abs(u - 0.6)) + brush,
    )
    sun = step(-0.055, -0.045, -np.hypot(u - 0.6, (v - 0.52) * 0.78))
    picture = np.where(v + 0.2 * brush > 0.4, sky, sea)
    picture = picture + (plain((0.25, 0.65, 0.80), u.size) - picture) * sun
    rim = np.maximum(np.abs(u - 0.5) - 0.5 + 0.055, np.abs(v - 0.5) - 0.5 + 0.07)
    return np.where(rim > 0, mix((0.03, 0.10, 0.17), (0.08, 0.30, 0.45), 0.5 + 30 * rim), picture).astype(np.float32)


def _armchair() -> list[Thing]:
    teal, mustard = _cloth((0.22, 0.20, 0.04)), _cloth((0.02, 0.32, 0.50))
    return [
        Thing(Box((1.15, 0.14, 3.05), (2.15, 0.42, 3.95)), teal),
        Thing(Box((1.98, 0.14, 3.05), (2.20, 0.98, 3.95)), teal),
        Thing(Box((1.15, 0.14, 2.92), (2.20, 0.62, 3.08)), teal),
        Thing(Box((1.15, 0.14, 3.92), (2.20, 0.62, 4.08)), teal),
        Thing(Ellipsoid((1.84, 0.62, 3.5), (0.12, 0.24, 0.27)), mustard),
        Thing(Ellipsoid((1.55, 0.43, 3.5), (0.42, 0.07, 0.40)), teal),
    ]


def _plant() -> list[Thing]:
    x, z = 2.5, 4.3
    random = np.random.default_rng(8)
    crown = []
    for number in range(46):
        turn, height = 2.4 * number, 0.95 + 0.018 * number
        reach = 0.36 * np.sqrt(max(0.0, 1 - ((height - 1.32) / 0.46) ** 2)) * random.uniform(0.5, 1.0)
        centre = (x + reach * np.cos(turn), height, z + reach * np.sin(turn))
        radii = (random.uniform(0.05, 0.09), random.uniform(0.035, 0.07), random.uniform(0.05, 0.09))
        crown.append(Thing(Ellipsoid(centre, radii), _leaf, casts_shadow=False))
    shade = Thing(Ellipsoid((x, 1.32, z), (0.26, 0.32, 0.26)), _leaf)
    pot = Thing(Cylinder((x, 0, z), 0.2, 0.42), _paint((0.10, 0.17, 0.42)))
    return [pot, Thing(Cylinder((x, 0.42, z), 0.02, 0.6), _paint((0.05, 0.10, 0.14))), shade, *crown]


def _lamp() -> list[Thing]:
    x, y, z = LAMP
    return [
        Thing(Cylinder((x, 0, z), 0.02, y - 0.15), _paint((0.2, 0.2, 0.2)), 0.6, casts_shadow=False),
        Thing(Cylinder((x, 0, z), 0.16, 0.03), _paint((0.1, 0.1, 0.1)), 0.4, casts_shadow=False),
        Thing(
            Cylinder((x, y - 0.16, z), 0.21, 0.34), _paint((0.5, 0.6, 0.7)), glow=(0.85, 2.1, 3.6), casts_shadow=False
        ),
    ]


def _window_frame() -> list[Thing]:
    left, right, low, high = WINDOW
    white = _paint((0.72, 0.76, 0.78))
    middle, bar = (left + right) / 2, (low * 0.42 + high * 0.58)
    at, thick = BEHIND + 0.08, 0.05
    posts = [(left, left + 0.05), (middle - 0.03, middle + 0.03), (right - 0.05, right)]
    rails = [(low, low + 0.06), (bar - 0.02, bar + 0.02), (high - 0.06, high)]
    sill = Thing(
        Box((left - 0.08, low - 0.05, BEHIND - 0.16), (right + 0.08, low, BEHIND + 0.2)), white, 0.5, casts_shadow=False
    )
    return [
        sill,
        *(Thing(Box((a, low, at), (b, high, at + thick)), white, casts_shadow=False) for a, b in posts),
        *(Thing(Box((left, a, at), (right, b, at + thick)), white, casts_shadow=False) for a, b in rails),
    ]
