"""Pictures and networks that the fusion tests share."""

import numpy as np


class Curve:
    """A LightnessNet of one pixel's reach: a smooth mix of both lightnesses. Remembers the shapes it was given."""

    sha256, name, multiple = "0" * 64, "curve", 16

    def __init__(self):
        self.shapes = []

    def __call__(self, dark, bright):
        assert dark.dtype == bright.dtype == np.float32
        self.shapes.append(dark.shape)
        return (0.5 * dark + 0.6 * bright - 0.25 * dark * bright).clip(0, 1)


class Mean(Curve):
    """A LightnessNet that sees all of the picture: the curve, the lighter the darker the whole is."""

    def __call__(self, dark, bright):
        return super().__call__(dark, bright) * np.float32(1 - 0.5 * bright.mean(dtype=np.float64))


def scene(height, width, dtype=np.uint8, seed=0):
    """A bracket of soft coloured shapes, finely striped and noisy; the bright one clips, the dark has 1/4 of it."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width][..., None] / (min(height, width) + 1)
    waves = [np.sin(rng.uniform(2, 9) * x + rng.uniform(2, 9) * y + rng.uniform(0, 6, 3)) for _ in range(4)]
    stripes = 1 + 0.3 * np.sin(2 * np.arange(width))[:, None]
    light = (0.02 + 0.35 * np.exp(sum(waves) - 1)) * stripes
    over, under = light, 0.25 * light
    return [_coded(exposure + rng.normal(0, 0.004, light.shape), dtype) for exposure in (under, over)]


def series(count, height, width, dtype=np.uint8, seed=0):
    """The scene of `scene`, in so many exposures 2 EV apart."""
    _, brightest = scene(height, width, np.uint16, seed)
    light = (brightest / 65535.0) ** 2.2
    rng = np.random.default_rng(seed + 1)
    return [
        _coded(4.0 * light / 4.0 ** (count - 1 - index) + rng.normal(0, 0.004, light.shape), dtype)
        for index in range(count)
    ]


def noise(height, width, dtype=np.uint8, seed=0):
    """Two pictures that have nothing in common, every code as likely as any other."""
    rng = np.random.default_rng(seed)
    return [rng.integers(0, int(np.iinfo(dtype).max) + 1, (height, width, 3)).astype(dtype) for _ in range(2)]


def extremes(height, width, dtype=np.uint8, seed=0):
    """Only black and full samples: each pixel black, white, a primary or a secondary, singly and in areas."""
    rng = np.random.default_rng(seed)
    fine = rng.integers(0, 2, (2, height, width, 3))
    coarse = rng.integers(0, 2, (2, height // 16 + 1, width // 16 + 1, 3)).repeat(16, axis=1).repeat(16, axis=2)
    chosen = np.where(np.arange(width)[:, None] < width // 2, fine, coarse[:, :height, :width])
    return [(picture * np.iinfo(dtype).max).astype(dtype) for picture in chosen]


def _coded(light, dtype):
    return np.round(np.clip(light, 0, 1) ** (1 / 2.2) * np.iinfo(dtype).max).astype(dtype)


def letterboxed(pictures, lines, black=0):
    """The pictures with so many lines of this code at the top and at the bottom."""
    framed = [picture.copy() for picture in pictures]
    for picture in framed:
        picture[:lines] = picture[-lines:] = black
    return framed


def rounded(pictures, part=0.9):
    """The pictures as a fisheye lens shows them: black outside a circle of this part of the height."""
    height, width = pictures[0].shape[:2]
    y, x = np.mgrid[0:height, 0:width]
    inside = np.hypot(y - (height - 1) / 2, x - (width - 1) / 2) < part * height / 2
    return [picture * inside[..., None].astype(picture.dtype) for picture in pictures]
