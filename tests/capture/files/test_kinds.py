"""Files of every kind: read where a library reads them, refused by their name otherwise, and never called broken."""

from __future__ import annotations

import io
import os
import struct
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, features

from livemef.capture.errors import CaptureError
from livemef.capture.files.image_io import open_picture, read_picture
from livemef.capture.files.kinds import kind_of
from livemef.capture.frame import Pixels


def smooth(width: int = 64, height: int = 48) -> Pixels:
    coarse = np.random.default_rng(5).uniform(30, 220, (6, 8, 3))
    return np.clip(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)


def save(path: Path, pixels: Pixels, kind: str, **options: object) -> Path:
    Image.fromarray(np.ascontiguousarray(pixels[..., ::-1])).save(path, kind, **options)
    return path


def refused(path: Path) -> str:
    with pytest.raises(CaptureError) as caught:
        read_picture(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


STARTS = {
    "JPEG XL": b"\xff\x0a" + bytes(40),
    "JPEG XL in a container": b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40),
    "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40),
    "GIF": b"GIF89a" + bytes(40),
    "BMP": b"BM" + bytes(60),
    "Photoshop": b"8BPS\0\1" + bytes(40),
    "OpenEXR": b"v/1\x01\x02\0\0\0" + bytes(40),
    "Radiance HDR": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 60000 +X 60000\n",
    "PDF": b"%PDF-1.7\n" + bytes(40),
    "video": b"\0\0\0\x18ftypisom" + bytes(40),
}


@pytest.mark.parametrize("name", sorted(STARTS))
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_what_is_not_read_is_named(tmp_path: Path, name: str, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(STARTS[name])
    message = refused(path)
    assert name.split(" in ")[0].lower() in message.lower()
    assert "convert it" in message


@pytest.mark.parametrize(
    "data",
    [
        b"II*\0\x10\0\0\0CR\x02\0" + bytes(60),
        b"FUJIFILMCCD-RAW 0201" + bytes(60),
        b"IIRO\x08\0\0\0" + bytes(60),
        b"IIU\0\x18\0\0\0" + bytes(60),
        b"\0\0\0\x18ftypcrx " + bytes(60),
    ],
)
def test_raw_files_are_known_whatever_they_are_called(
    tmp_path: Path, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kind_of(data) == "raw"
    monkeypatch.setitem(sys.modules, "rawpy", None)
    (tmp_path / "a.tif").write_bytes(data)
    assert "livemef[raw]" in refused(tmp_path / "a.tif")


def write_dng(path: Path, light: Pixels) -> Path:
    """A DNG of linear RGB (16 bits), with a small thumbnail in front as cameras write it."""
    matrix = (3.2406, -1.5372, -0.4986, -0.9689, 1.8758, 0.0415, 0.0557, -0.2040, 1.0570)
    rational = tuple(part for value in matrix for part in (round(value * 10000), 10000))
    tags = [
        (50706, 1, 4, (1, 4, 0, 0), True),
        (50708, 2, 0, "livemef test", True),
        (50721, 10, 9, rational, True),
        (50728, 5, 3, (1, 1, 1, 1, 1, 1), True),
        (50778, 3, 1, 21, True),
        (50717, 4, 1, 65535, True),
    ]
    with tifffile.TiffWriter(path) as writer:
        writer.write(
            (light >> 8).astype(np.uint8)[::8, ::8], photometric="rgb", subfiletype=1, subifds=1, extratags=tags
        )
        writer.write(light, photometric=34892, planarconfig="contig", extratags=tags[2:])
    return path


def test_a_dng_is_developed_not_its_thumbnail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    light = (cv2.resize(smooth()[..., ::-1], (256, 192)).astype(np.float64) / 255) ** 2.2 * 40000
    path = write_dng(tmp_path / "a.dng", light.astype(np.uint16))
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "rawpy", None)
        assert "livemef[raw]" in refused(path)
        assert "livemef[raw]" in refused(path.rename(tmp_path / "renamed.tif"))
    pytest.importorskip("rawpy")
    picture = read_picture(tmp_path / "renamed.tif")
    assert picture.dtype == np.uint16
    assert picture.shape == (192, 256, 3)
    # twice the light is twice the light: no automatic brightness
    write_dng(tmp_path / "b.dng", (light / 2).astype(np.uint16))
    half = read_picture(tmp_path / "b.dng")
    middle = [((p[60:130, 80:170] / 65535.0 + 0.055) / 1.055) ** 2.4 for p in (picture, half)]
    assert np.median(middle[0] / middle[1]) == pytest.approx(2.0, rel=0.03)


def test_heic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    path = save(tmp_path / "a.heic", smooth(), "HEIF", quality=95)
    assert np.abs(read_picture(path).astype(int) - smooth()).mean() < 8
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    assert "HEIC picture: pip install 'livemef[formats]'" in refused(path)


@pytest.mark.filterwarnings("ignore:Unknown feature")
def test_avif(tmp_path: Path) -> None:
    if not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    path = save(tmp_path / "a.avif", smooth(), "AVIF", quality=95)
    assert np.abs(read_picture(path).astype(int) - smooth()).mean() < 4
    path.write_bytes(path.read_bytes()[:300])
    assert "AVIF" in refused(path)


def test_jpegs_of_twelve_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imagecodecs = pytest.importorskip("imagecodecs")
    deep = smooth()[..., ::-1].astype(np.uint16) * 16
    (tmp_path / "a.jpg").write_bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(deep), level=98, bitspersample=12))
    picture = read_picture(tmp_path / "a.jpg")
    assert picture.dtype == np.uint16
    assert np.abs(picture / 257.0 - smooth()).mean() < 4
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    assert "12-bit JPEG: pip install 'livemef[formats]'" in refused(tmp_path / "a.jpg")


@pytest.mark.parametrize(("marker", "name"), [(0xC3, "lossless JPEG"), (0xF7, "JPEG-LS"), (0xC5, "hierarchical JPEG")])
def test_jpegs_of_other_processes_are_named(tmp_path: Path, marker: int, name: str) -> None:
    data = cv2.imencode(".jpg", smooth())[1].tobytes().replace(b"\xff\xc0", bytes([0xFF, marker]), 1)
    (tmp_path / "a.jpg").write_bytes(data)
    assert name in refused(tmp_path / "a.jpg")


def test_inks_of_a_jpeg(tmp_path: Path) -> None:
    inks = Image.fromarray(np.dstack([255 - smooth()[..., ::-1], np.zeros((48, 64), np.uint8)]), "CMYK")
    inks.save(tmp_path / "a.jpg", quality=98, subsampling=0)
    picture = open_picture(tmp_path / "a.jpg")
    assert np.abs(picture.pixels.astype(int) - smooth()).mean() < 3
    assert "CMYK" in picture.converted_from


def png(width: int, height: int, depth: int, data: bytes) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_small_files_that_claim_huge_pictures_are_refused_before_decoding(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(16000, 16000, 16, zlib.compress(bytes(1000))))
    assert "too little data" in refused(path)
    path.write_bytes(png(60000, 60000, 8, zlib.compress(bytes(10**7)) * 1100))
    assert "megapixels" in refused(path)
    whole = png(16, 16, 8, zlib.compress(bytes(16 * 49)))
    path.write_bytes(whole[:33] + b"\xff\xff\xff\xff" + whole[37:])
    assert "truncated" in refused(path)
    buffer = io.BytesIO()
    Image.fromarray(smooth()).save(buffer, "WEBP", lossless=True)
    webp = bytearray(buffer.getvalue())
    at = webp.index(b"VP8L") + 9
    webp[at : at + 4] = struct.pack("<I", 16383 | 16383 << 14)
    (tmp_path / "a.webp").write_bytes(webp)
    assert "megapixels" in refused(tmp_path / "a.webp")


def test_the_limit_on_pixels_is_the_callers(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", smooth(), "PNG")
    assert read_picture(path, max_pixels=64 * 48).shape == (48, 64, 3)
    for suffix in ("png", "jpg", "webp", "tif"):
        path = save(tmp_path / f"b.{suffix}", smooth(), {"jpg": "JPEG", "tif": "TIFF"}.get(suffix, suffix.upper()))
        with pytest.raises(CaptureError, match="64x48: more than"):
            read_picture(path, max_pixels=64 * 48 - 1)


def test_names_and_places_that_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert "is not a file" in refused(tmp_path / "pipe.png")
    with pytest.raises(CaptureError, match=r"picture .*a.*b\.png"):
        read_picture(f"{tmp_path}/a\0b.png")


def test_a_jpeg_ls_is_named(tmp_path: Path) -> None:
    imagecodecs = pytest.importorskip("imagecodecs")
    (tmp_path / "a.jpg").write_bytes(
        imagecodecs.jpegls_encode(np.random.default_rng(1).integers(0, 256, (40, 60), np.uint8))
    )
    assert "JPEG-LS" in refused(tmp_path / "a.jpg")
