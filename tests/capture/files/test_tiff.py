"""TIFF of many kinds, written by tifffile: read as what they are, or refused by name; ImageMagick agrees."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from livemef.capture.errors import CaptureError
from livemef.capture.files import tiff
from livemef.capture.files.image_io import open_picture, read_picture
from livemef.capture.frame import Pixels
from tests.imagemagick import convert, needs_imagemagick

RNG = np.random.default_rng(4)
RGB8 = RNG.integers(0, 256, (40, 56, 3), np.uint8)
RGB16 = RNG.integers(0, 65536, (40, 56, 3), np.uint16)


def bgr(samples: Any) -> Pixels:
    return np.ascontiguousarray(samples[..., ::-1]) if samples.ndim == 3 else np.dstack([samples] * 3)


def planes(samples: Any) -> Any:
    return np.moveaxis(samples, -1, 0)


def premultiplied(samples: Any) -> Any:
    return np.dstack([samples, RNG.integers(0, 256, samples.shape[:2], samples.dtype)])


KINDS: dict[str, tuple[Any, dict[str, Any], Any]] = {
    "planar16": (planes(RGB16), {"photometric": "rgb", "planarconfig": "separate"}, RGB16),
    "planar8": (planes(RGB8), {"photometric": "rgb", "planarconfig": "separate"}, RGB8),
    "planar16_deflate": (
        planes(RGB16),
        {"photometric": "rgb", "planarconfig": "separate", "compression": "zlib", "predictor": True},
        RGB16,
    ),
    "tiled": (RGB16, {"photometric": "rgb", "tile": (16, 16)}, RGB16),
    "tiled_deflate": (RGB8, {"photometric": "rgb", "tile": (32, 32), "compression": "zlib"}, RGB8),
    "bigtiff": (RGB16, {"photometric": "rgb", "bigtiff": True}, RGB16),
    "bigendian": (RGB16, {"photometric": "rgb", "byteorder": ">"}, RGB16),
    "white_is_zero16": (RGB16[..., 0], {"photometric": "miniswhite"}, 65535 - RGB16[..., 0]),
    "white_is_zero8": (RGB8[..., 0], {"photometric": "miniswhite"}, 255 - RGB8[..., 0]),
    "grey16": (RGB16[..., 0], {"photometric": "minisblack"}, RGB16[..., 0]),
    "alpha8": (premultiplied(RGB8), {"photometric": "rgb", "extrasamples": ["unassalpha"]}, RGB8),
    "alpha16": (premultiplied(RGB16), {"photometric": "rgb", "extrasamples": ["unassalpha"]}, RGB16),
    "grey_alpha8": (
        np.dstack([RGB8[..., 0], RGB8[..., 1]]),
        {"photometric": "minisblack", "planarconfig": "contig", "extrasamples": ["unassalpha"]},
        RGB8[..., 0],
    ),
}
if importlib.util.find_spec("imagecodecs"):  # older versions of tifffile cannot write it without
    KINDS["packbits"] = (RGB8, {"photometric": "rgb", "compression": "packbits"}, RGB8)
AS_MAGICK_READS = sorted(set(KINDS) - {"alpha8", "alpha16", "grey_alpha8"})


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_sample_is_read_as_what_it_is(tmp_path: Path, kind: str) -> None:
    stored, options, expected = KINDS[kind]
    tifffile.imwrite(tmp_path / "a.tif", stored, **options)
    picture = open_picture(tmp_path / "a.tif")
    assert picture.pixels.dtype == stored.dtype
    assert np.array_equal(picture.pixels, bgr(expected))
    assert picture.notes == ()


@needs_imagemagick
@pytest.mark.parametrize("kind", AS_MAGICK_READS)
def test_imagemagick_agrees(tmp_path: Path, kind: str) -> None:
    stored, options, _ = KINDS[kind]
    tifffile.imwrite(tmp_path / "a.tif", stored, **options)
    depth = 8 * stored.dtype.itemsize
    raw = convert(f"{tmp_path / 'a.tif'}[0]", "-depth", str(depth), "-endian", "LSB", "rgb:-")
    other = np.frombuffer(raw, f"<u{depth // 8}").reshape(40, 56, 3)
    assert np.array_equal(read_picture(tmp_path / "a.tif"), other[..., ::-1])


@pytest.mark.parametrize("compression", ["lzw", "zstd"])
def test_other_compressions_need_a_codec_or_opencv(
    tmp_path: Path, compression: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("imagecodecs")
    tifffile.imwrite(tmp_path / "a.tif", RGB16, photometric="rgb", compression=compression, predictor=True)
    assert np.array_equal(read_picture(tmp_path / "a.tif"), bgr(RGB16))
    monkeypatch.setattr(tiff, "_imagecodecs", lambda: False)
    if compression == "lzw":
        assert np.array_equal(read_picture(tmp_path / "a.tif"), bgr(RGB16))
    else:
        with pytest.raises(CaptureError, match=r"ZSTD.*livemef\[formats\]"):
            read_picture(tmp_path / "a.tif")


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits_reach_the_whole_range(tmp_path: Path, bits: int) -> None:
    if bits != 1:
        pytest.importorskip("imagecodecs")
    codes = np.arange(40 * 56).reshape(40, 56) % 2**bits
    shifts = np.arange(8 - bits, -1, -bits)
    packed = (codes.reshape(40, -1, 8 // bits) << shifts).sum(axis=2).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", packed, photometric="minisblack", metadata=None)
    data = bytearray((tmp_path / "a.tif").read_bytes())
    for tag, value in ((256, 56), (258, bits)):  # the width in pixels, and bits a sample
        entry = data.index(struct.pack("<H", tag) + (b"\x04\0" if tag == 256 else b"\x03\0") + b"\x01\0\0\0")
        data[entry + 8 : entry + 10] = struct.pack("<H", value)
    (tmp_path / "a.tif").write_bytes(data)
    assert np.array_equal(read_picture(tmp_path / "a.tif")[..., 0], codes * (255 // (2**bits - 1)))


def test_palette(tmp_path: Path) -> None:
    image = Image.fromarray(RGB8).quantize(32)
    image.save(tmp_path / "a.tif")
    assert np.array_equal(read_picture(tmp_path / "a.tif"), bgr(np.asarray(image.convert("RGB"))))


def test_a_thumbnail_in_front_is_not_the_picture(tmp_path: Path) -> None:
    for tagged in (True, False):
        with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
            writer.write(RGB8[::4, ::4], photometric="rgb", subfiletype=1 if tagged else 0)
            writer.write(RGB8, photometric="rgb")
        assert np.array_equal(read_picture(tmp_path / "a.tif"), bgr(RGB8))


@pytest.mark.parametrize("marked", [True, False])
def test_the_picture_within_a_thumbnail_is_read(tmp_path: Path, marked: bool) -> None:
    """As camera makers write it: the first directory is a thumbnail, its SubIFD the picture."""
    picture = np.arange(40 * 60 * 3, dtype=np.uint8).reshape(40, 60, 3)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(picture[::4, ::4], photometric="rgb", subifds=1, subfiletype=1)
        file.write(picture, photometric="rgb", **({"subfiletype": 0} if marked else {}))
    assert np.array_equal(read_picture(tmp_path / "a.tif"), picture[..., ::-1])


def test_smaller_copies_within_the_picture_are_passed_over(tmp_path: Path) -> None:
    picture = np.arange(40 * 60 * 3, dtype=np.uint8).reshape(40, 60, 3)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(picture, photometric="rgb", subifds=1)
        file.write(picture[::2, ::2], photometric="rgb", subfiletype=1)
    assert np.array_equal(read_picture(tmp_path / "a.tif"), picture[..., ::-1])


def test_further_pages_are_noted(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for _ in range(3):
            writer.write(RGB8, photometric="rgb")
    picture = open_picture(tmp_path / "a.tif")
    assert np.array_equal(picture.pixels, bgr(RGB8))
    assert picture.notes == ("holds 3 pages; page 1 was read",)


@pytest.mark.parametrize(
    ("samples", "options", "words"),
    [
        (RGB8.astype(np.float16), {"photometric": "rgb"}, "16-bit floating-point samples"),
        (RGB8.astype(np.float32), {"photometric": "rgb"}, "32-bit floating-point samples"),
        (RGB16.astype(np.uint32), {"photometric": "rgb"}, "32-bit unsigned samples"),
        (RGB16.astype(np.int16), {"photometric": "rgb"}, "16-bit signed samples"),
        (np.zeros((40, 56, 99), np.uint8), {"photometric": "minisblack", "planarconfig": "contig"}, "99 samples"),
        (RGB8, {"photometric": "cielab"}, r"CIE L\*a\*b\*"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, samples: Any, options: dict[str, Any], words: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", samples, **options)
    with pytest.raises(CaptureError, match=words):
        read_picture(tmp_path / "a.tif")


def test_inks(tmp_path: Path) -> None:
    inks = np.dstack([255 - RGB8, np.zeros(RGB8.shape[:2], np.uint8)])
    tifffile.imwrite(tmp_path / "a.tif", inks, photometric="separated")
    assert np.array_equal(read_picture(tmp_path / "a.tif"), bgr(RGB8))
    tifffile.imwrite(tmp_path / "a.tif", inks.astype(np.uint16), photometric="separated")
    with pytest.raises(CaptureError, match="CMYK"):
        read_picture(tmp_path / "a.tif")


@settings(deadline=None)
@given(kind=st.sampled_from(sorted(KINDS)), keep=st.floats(0, 1, exclude_max=True))
def test_cut_files_are_refused(kind: str, keep: float) -> None:
    stored, options, expected = KINDS[kind]
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, stored, metadata=None, **options)
    data = buffer.getvalue()
    try:
        picture = tiff.read_tiff(data[: int(keep * len(data))], 10**6)
    except CaptureError:
        return
    # what is missing was nothing of the picture
    assert np.array_equal(picture.pixels, bgr(expected))


def test_a_size_of_nothing_is_refused() -> None:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, RGB8, photometric="rgb", metadata=None)
    data = bytearray(buffer.getvalue())
    entry = data.index(struct.pack("<HHII", 256, 4, 1, 56))
    data[entry + 8 : entry + 12] = bytes(4)
    with pytest.raises(CaptureError, match="no size"):
        tiff.read_tiff(bytes(data), 10**6)


def test_claims_of_millions_of_tags_or_pages_are_refused_at_once() -> None:
    started = time.process_time()
    many_tags = b"II*\0" + struct.pack("<IH", 8, 65535) + bytes(range(256)) * 4000
    endless = b"II*\0" + struct.pack("<IHI", 8, 0, 8)
    huge = io.BytesIO()
    tifffile.imwrite(huge, RGB8, photometric="rgb", metadata=None)
    wide = bytearray(huge.getvalue())
    entry = wide.index(struct.pack("<HHII", 257, 4, 1, 40))
    wide[entry + 8 : entry + 12] = struct.pack("<I", 1 << 30)
    for data in (many_tags, endless, bytes(wide)):
        with pytest.raises(CaptureError):
            tiff.read_tiff(data, 10**8)
    assert time.process_time() - started < 5


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("layout", [{"rowsperstrip": 20}, {"tile": (32, 32)}])
@pytest.mark.parametrize("alpha", [0, 1])
def test_lzw_of_every_layout_is_read_and_never_crashes_when_damaged(tmp_path, planar, dtype, layout, alpha) -> None:
    pytest.importorskip("imagecodecs")
    chance = np.random.default_rng(5)
    picture = chance.integers(0, np.iinfo(dtype).max, (75, 61, 3 + alpha)).astype(dtype)
    stored = np.moveaxis(picture, -1, 0) if planar == "separate" else picture
    kinds = {"extrasamples": ["unassalpha"]} if alpha else {}
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stored, photometric="rgb", planarconfig=planar, compression="lzw", **kinds, **layout)
    np.testing.assert_array_equal(read_picture(path), picture[..., 2::-1])
    whole = path.read_bytes()
    for _ in range(30):
        damaged = bytearray(whole)
        for place in chance.integers(400, len(whole), 6):
            damaged[place] = chance.integers(0, 256)
        path.write_bytes(damaged)
        with contextlib.suppress(CaptureError):
            read_picture(path)


@needs_imagemagick
@pytest.mark.parametrize("compression", ["None", "Zip", "LZW", "RLE"])
def test_ycbcr_is_converted_whatever_its_compression(compression: str, tmp_path: Path) -> None:
    """Deflate and PackBits were read as R, G, B."""
    ramp = np.dstack(np.meshgrid(np.arange(0, 256, 4), np.arange(0, 256, 8))).astype(np.uint8)
    samples = np.dstack([ramp, ramp[..., :1][:, ::-1]])
    Image.fromarray(samples).save(tmp_path / "a.png")
    convert("a.png", "-colorspace", "YCbCr", "-depth", "8", "-compress", compression, "a.tif", folder=tmp_path)
    assert np.abs(read_picture(tmp_path / "a.tif").astype(int) - samples[..., ::-1]).mean() < 3.0


def test_ycbcr_that_no_library_converts_is_refused_by_name(tmp_path: Path) -> None:
    pytest.importorskip("imagecodecs")
    file = tmp_path / "a.tif"
    tifffile.imwrite(file, RGB16, photometric="ycbcr", compression="zstd")
    with pytest.raises(CaptureError, match="16-bit YCbCr colours"):
        read_picture(file)
