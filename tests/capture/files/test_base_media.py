"""What HEIC and AVIF files say of their colours and depth, in files that libheif and libavif wrote."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, features

from livemef.capture.errors import CaptureError
from livemef.capture.files.base_media import bits_a_sample, code_points, main_properties
from livemef.capture.files.image_io import exif_exposure, open_picture

RAMP = np.repeat(np.linspace(0, 255, 64).astype(np.uint8)[None, :, None], 48, 0).repeat(3, 2)


def heic(**options: Any) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    file = io.BytesIO()
    Image.fromarray(RAMP).save(file, "HEIF", quality=-1, chroma=444, matrix_coefficients=1, **options)
    return file.getvalue()


def avif() -> bytes:
    if not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x829A] = 0.02  # exposure time
    Image.fromarray(RAMP).save(file, "AVIF", quality=95, exif=exif.tobytes())
    return file.getvalue()


def with_code_points(data: bytes, primaries: int, transfer: int) -> bytes:
    at = data.index(b"colrnclx") + 8
    return data[:at] + struct.pack(">HH", primaries, transfer) + data[at + 4 :]


def written(folder: Path, data: bytes, suffix: str) -> Path:
    (folder / f"a{suffix}").write_bytes(data)
    return folder / f"a{suffix}"


def test_heic_of_linear_light_is_converted(tmp_path: Path) -> None:
    data = heic(save_nclx_profile=True, color_primaries=1, transfer_characteristics=8)
    assert code_points(main_properties(data)) == (1, 8)
    picture = open_picture(written(tmp_path, data, ".heic"))
    assert picture.converted_from == "code points 1/8"
    assert picture.pixels[0, 32, 0] == pytest.approx(255 * 1.055 * (RAMP[0, 32, 0] / 255) ** (1 / 2.4) - 14, abs=3)


@pytest.mark.filterwarnings("ignore:Unknown feature")
@pytest.mark.parametrize(("transfer", "words"), [(16, "PQ"), (18, "HLG"), (11, "not known")])
def test_hdr_and_unknown_colours_are_refused(tmp_path: Path, transfer: int, words: str) -> None:
    for data, suffix in ((heic(), ".heic"), (avif(), ".avif")):
        with pytest.raises(CaptureError, match=words):
            open_picture(written(tmp_path, with_code_points(data, 9, transfer), suffix))


@pytest.mark.filterwarnings("ignore:Unknown feature")
def test_avif_of_p3_is_converted_and_srgb_is_left_alone(tmp_path: Path) -> None:
    data = avif()
    assert open_picture(written(tmp_path, data, ".avif")).converted_from == ""
    assert open_picture(written(tmp_path, with_code_points(data, 2, 2), ".avif")).converted_from == ""
    assert open_picture(written(tmp_path, with_code_points(data, 12, 13), ".avif")).converted_from


def test_a_depth_that_is_not_kept_is_noted(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    deep = np.ascontiguousarray(RAMP.astype(np.uint16) * 257)
    pillow_heif.from_bytes("RGB;16", (64, 48), deep.tobytes()).save(tmp_path / "a.heic", quality=-1, bit_depth=10)
    properties = main_properties((tmp_path / "a.heic").read_bytes())
    assert bits_a_sample(properties) == 10
    assert open_picture(tmp_path / "a.heic").notes == ("has 10 bits a sample, of which 8 were read",)
    assert bits_a_sample(()) == 8


@pytest.mark.filterwarnings("ignore:Unknown feature")
def test_the_exposure_of_an_avif_is_known(tmp_path: Path) -> None:
    exposure = exif_exposure(written(tmp_path, avif(), ".avif"))
    assert exposure is not None
    assert exposure.exposure_us == pytest.approx(20_000)


@given(st.data())
def test_damage_never_raises(data: st.DataObject) -> None:
    whole = avif()[:400]
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = whole[:at] + data.draw(st.binary(max_size=6)) + whole[at + data.draw(st.integers(0, 6)) :]
    properties = main_properties(damaged)
    code_points(properties)
    bits_a_sample(properties)
