"""Footage that alternates exposures, made by the tests: a still scene, in which something may move."""

from pathlib import Path

import cv2
import numpy as np

from livemef.capture.files.image_io import write_picture
from livemef.capture.frame import Pixels


def exposed_frames(
    count: int, order: tuple[int, ...] = (0, 1), ev: float = 3.0, size: tuple[int, int] = (96, 64), speed: float = 0.0
) -> list[Pixels]:
    """Frames (BGR uint8) of a textured scene; frame t has exposure order[t % len(order)], `ev` stops apart."""
    rng = np.random.default_rng(5)
    width, height = size
    field = cv2.resize(rng.uniform(-3, 3, (6, 8, 3)), size, interpolation=cv2.INTER_CUBIC)
    radiance = 0.3 * 2.0**field
    frames = []
    for number in range(count):
        scene = radiance.copy()
        if speed:
            left = int(4 + speed * number) % (width - 16)
            scene[height // 3 : height // 2, left : left + 12] = 0.05
        light = 2.0 ** (ev * (order[number % len(order)] - max(order)))
        frames.append(np.round(255 * np.clip(scene * light, 0, 1) ** (1 / 2.2)).astype(np.uint8))
    return frames


def numbered_folder(folder: Path, frames: list[Pixels]) -> Path:
    folder.mkdir(parents=True)
    for number, pixels in enumerate(frames):
        write_picture(folder / f"frame{number}.png", pixels)
    return folder
