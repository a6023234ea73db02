"""Tiles of the IIIF Image API: whole, in their places, and named as libvips names them."""

import json
import math
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livemef.capture.errors import CaptureError
from livemef.capture.files.iiif import TILE, scale_factors, tiles, write_iiif
from livemef.capture.files.image_io import read_picture

AS_LIBVIPS_NAMES_THEM = {
    "0,0,512,512/512,512",
    "512,0,512,512/512,512",
    "1024,0,276,512/276,512",
    "0,512,512,188/512,188",
    "512,512,512,188/512,188",
    "1024,512,276,188/276,188",
    "0,0,1024,700/512,350",
    "1024,0,276,700/138,350",
}
"""vips dzsave --layout iiif3 --tile-size 512 of 1300 x 700 (8.14), without the smallest level, whose region it calls
0,0,1300,700; viewers ask for "full" there, which is also the API's canonical form."""


def test_a_picture_is_put_together_from_its_tiles(tmp_path: Path) -> None:
    picture = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (700, 1300, 3), np.uint8), (0, 0), 8)
    count = write_iiif(tmp_path / "a", picture, "https://example.org/iiif/a")
    files = sorted((tmp_path / "a").rglob("default.jpg"))
    assert count == len(files) + 1
    names = {str(file.relative_to(tmp_path / "a").parent.parent) for file in files}
    assert names == AS_LIBVIPS_NAMES_THEM | {"full/325,175"}
    whole = np.zeros_like(picture)
    for name in names:
        region, size = name.split("/")
        if region == "full" or region.split(",")[2:] != size.split(","):
            continue
        x, y, width, height = map(int, region.split(","))
        whole[y : y + height, x : x + width] = read_picture(tmp_path / "a" / name / "0" / "default.jpg")
    assert np.abs(whole.astype(int) - picture).max() < 12
    info = json.loads((tmp_path / "a" / "info.json").read_text())
    assert info["id"] == "https://example.org/iiif/a"
    assert (info["type"], info["profile"]) == ("ImageService3", "level0")
    assert (info["width"], info["height"]) == (1300, 700)
    assert info["tiles"] == [{"width": 512, "height": 512, "scaleFactors": [1, 2, 4]}]
    assert info["sizes"] == [{"width": 325, "height": 175}]
    with pytest.raises(CaptureError, match="File exists"):
        write_iiif(tmp_path / "a", picture, "https://example.org/iiif/a")


def test_a_small_picture_of_sixteen_bits_is_one_file(tmp_path: Path) -> None:
    assert write_iiif(tmp_path / "s", np.full((30, 40, 3), 40000, np.uint16), "x") == 2
    assert (tmp_path / "s" / "full" / "max" / "0" / "default.jpg").exists()


@given(st.integers(1, 9000), st.integers(1, 9000))
def test_the_tiles_of_each_level_cover_the_picture_once(width: int, height: int) -> None:
    factors = scale_factors(width, height)
    assert max(math.ceil(width / factors[-1]), math.ceil(height / factors[-1])) <= TILE
    for factor in factors:
        area = 0
        for region, size, _ in tiles(width, height, factor):
            if region == "full":
                area = width * height
                continue
            assert re.fullmatch(r"\d+,\d+,\d+,\d+", region)
            _, _, across, down = map(int, region.split(","))
            assert size == f"{math.ceil(across / factor)},{math.ceil(down / factor)}"
            area += across * down
        assert area == width * height
