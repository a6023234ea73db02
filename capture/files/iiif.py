"""Static image tiles for zooming viewers: IIIF Image API 3.0, compliance level 0, which any web server can serve."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from livemef.capture.errors import CaptureError
from livemef.capture.files.image_io import to_8_bit, write_picture
from livemef.capture.frame import Pixels

TILE = 512
"""Side of a tile in pixels."""


def write_iiif(folder: Path, pixels: Pixels, service: str) -> int:
    """Write info.json and all tiles of a picture (sRGB, BGR) into a new folder; returns how many files there are.

    service: URI under which the folder will be served, without a slash at its end. Raises CaptureError.
    """
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise CaptureError(f"cannot make {folder}: {error.strerror}") from None
    picture = to_8_bit(pixels)
    height, width = picture.shape[:2]
    factors = scale_factors(width, height)
    count = 0
    for factor in factors:
        level = _reduced(picture, factor)
        for region, size, cut in tiles(width, height, factor):
            place = folder / region / size / "0"
            place.mkdir(parents=True)
            write_picture(place / "default.jpg", level[cut], srgb=True)
            count += 1
    (folder / "info.json").write_text(json.dumps(_info(width, height, factors, service), indent=1), encoding="utf-8")
    return count + 1


def scale_factors(width: int, height: int) -> list[int]:
    """1, 2, 4 and so on, until the picture fits into one tile."""
    steps = max(0, math.ceil(math.log2(max(width, height) / TILE)))
    return [2**step for step in range(steps + 1)]


def tiles(width: int, height: int, factor: int) -> Iterator[tuple[str, str, tuple[slice, slice]]]:
    """Region and size of each tile as the API writes them in a path, and its place in the reduced picture."""
    level_width, level_height = math.ceil(width / factor), math.ceil(height / factor)
    if level_width <= TILE and level_height <= TILE:
        size = "max" if factor == 1 else f"{level_width},{level_height}"
        yield "full", size, (slice(None), slice(None))
        return
    for top in range(0, level_height, TILE):
        for left in range(0, level_width, TILE):
            tile_width, tile_height = min(TILE, level_width - left), min(TILE, level_height - top)
            x, y = left * factor, top * factor
            region = f"{x},{y},{min(TILE * factor, width - x)},{min(TILE * factor, height - y)}"
            cut = slice(top, top + tile_height), slice(left, left + tile_width)
            yield region, f"{tile_width},{tile_height}", cut


def _reduced(picture: Pixels, factor: int) -> Pixels:
    size = math.ceil(picture.shape[1] / factor), math.ceil(picture.shape[0] / factor)
    return picture if factor == 1 else np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))


def _info(width: int, height: int, factors: list[int], service: str) -> dict[str, Any]:
    whole = [factor for factor in factors if math.ceil(max(width, height) / factor) <= TILE]
    sizes = [{"width": math.ceil(width / factor), "height": math.ceil(height / factor)} for factor in whole]
    return {
        "@context": "http://iiif.io/api/image/3/context.json",
        "id": service,
        "type": "ImageService3",
        "protocol": "http://iiif.io/api/image",
        "profile": "level0",
        "width": width,
        "height": height,
        "sizes": sizes,
        "tiles": [{"width": TILE, "height": TILE, "scaleFactors": factors}],
    }
