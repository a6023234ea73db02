"""EXIF read whole: where exposure stands, in which form, and in which container."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from livemef.capture.files.exif import NO_EXIF, Exif, exif_of_tags, read_exif
from livemef.capture.files.image_io import exif_exposure, exif_exposures, open_picture
from livemef.capture.frame import Exposure

PIXELS = np.random.default_rng(1).integers(0, 256, (24, 32, 3), np.uint8)


def block(ifd0: dict[int, Any] | None = None, detail: dict[int, Any] | None = None) -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F] = "Maker"  # Pillow writes nothing where IFD0 is empty
    for tag, value in (ifd0 or {}).items():
        exif[tag] = value
    for tag, value in (detail or {}).items():
        exif.get_ifd(0x8769)[tag] = value
    return exif


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({0x829A: 0.02}, Exif(exposure_us=20_000.0)),
        ({0x9201: 6.0}, Exif(exposure_us=15_625.0)),  # APEX: 2^-6 s
        ({0x829A: 0.0, 0x9201: 3.0}, Exif(exposure_us=125_000.0)),
        ({0x8827: 400}, Exif(iso=400.0)),
        ({0x8827: (400, 0)}, Exif(iso=400.0)),
        ({0x8827: 65535, 0x8830: 2, 0x8832: 102400}, Exif(iso=102400.0)),
        ({0x8831: 200}, Exif(iso=200.0)),
        ({0x8833: 320}, Exif(iso=320.0)),
        ({0x829D: 2.8}, Exif(f_number=2.8)),
        ({0x9202: 4.0}, Exif(f_number=4.0)),  # APEX: 2^(4/2)
        ({0x829D: 0.0}, NO_EXIF),
        ({0x829A: -1.0, 0x8827: 0}, NO_EXIF),
        ({0x829A: "fast", 0x8827: b"", 0x0112: "up"}, NO_EXIF),
        ({0x0112: 6}, Exif(orientation=6)),
        ({0x0112: 9}, NO_EXIF),
    ],
)
def test_tags(tags: dict[int, Any], expected: Exif) -> None:
    assert exif_of_tags(tags) == expected


def test_adobe_rgb_of_the_camera_without_a_profile(tmp_path: Path) -> None:
    exif = block(detail={0xA001: 65535, 0xA005: {1: "R03"}})
    Image.fromarray(PIXELS).save(tmp_path / "a.jpg", exif=exif, quality=95)
    assert open_picture(tmp_path / "a.jpg").converted_from == "Adobe RGB (1998)"


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("place", ["ifd0", "detail"])
def test_every_container_and_both_places(tmp_path: Path, suffix: str, place: str) -> None:
    path = tmp_path / f"a{suffix}"
    tags = {0x829A: 0.0125, 0x829D: 4.0}
    Image.fromarray(PIXELS).save(path, exif=block(**{place: tags}))
    if (suffix, place) == (".tif", "detail"):  # Pillow leaves it out
        if shutil.which("exiftool") is None:
            pytest.skip("exiftool is not installed")
        subprocess.run(["exiftool", "-q", "-ExposureTime=0.0125", "-FNumber=4", path], check=True, timeout=60)
    assert exif_exposure(path) == Exposure(12_500.0)
    assert open_picture(path).exif.f_number == pytest.approx(4.0)


def test_raw_profile_text_of_png(tmp_path: Path) -> None:
    # as ImageMagick and older programs keep EXIF in PNG
    data = b"Exif\0\0" + block({0x0112: 8}, {0x829A: 0.5}).tobytes().removeprefix(b"Exif\0\0")
    text = (
        f"\nexif\n{len(data):8d}\n" + "\n".join(data.hex()[at : at + 72] for at in range(0, 2 * len(data), 72)) + "\n"
    )
    for keyword, compressed in (("Raw profile type exif", True), ("Raw profile type APP1", False)):
        info = PngInfo()
        info.add_text(keyword, text, zip=compressed)
        Image.fromarray(PIXELS).save(tmp_path / "a.png", pnginfo=info)
        picture = open_picture(tmp_path / "a.png")
        assert (picture.exif.orientation, picture.exif.exposure_us) == (8, 500_000.0)


def test_exif_of_pictures_larger_than_pillow_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # Pillow refuses to open what is twice as large
    for suffix in (".jpg", ".png", ".webp", ".tif"):
        Image.fromarray(PIXELS).save(tmp_path / f"a{suffix}", exif=block({0x0112: 3, 0x829A: 0.25}))
        picture = open_picture(tmp_path / f"a{suffix}")
        assert (picture.exif.orientation, picture.exif.exposure_us) == (3, 250_000.0)


def test_apertures_of_compared_pictures(tmp_path: Path) -> None:
    for name, stop in (("a", 8.0), ("b", 2.0)):
        Image.fromarray(PIXELS).save(tmp_path / f"{name}.jpg", exif=block(detail={0x829A: 0.01, 0x829D: stop}))
    dark, bright = exif_exposures([tmp_path / "a.jpg", tmp_path / "b.jpg"])
    assert dark is not None
    assert bright is not None
    assert bright.light / dark.light == pytest.approx(16.0)


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda tail: block({0x0112: 6}).tobytes() + tail))
def test_damaged_blocks_count_as_missing(data: bytes) -> None:
    assert read_exif(data).orientation in range(1, 9)
