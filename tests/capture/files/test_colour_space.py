"""Colour profiles and PNG's colour chunks: converted to sRGB as Little CMS does, in 8 and in 16 bits."""

from __future__ import annotations

import io
import struct
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from livemef.capture.errors import CaptureError
from livemef.capture.files import colour_space as spaces
from livemef.capture.files import icc
from livemef.capture.files.colour_space import ColourSpace
from livemef.capture.files.icc import convert_to_srgb, srgb_profile
from livemef.capture.files.image_io import open_picture, read_picture, write_picture
from livemef.capture.frame import Pixels
from livemef.capture.srgb import decode

LEVELS = np.linspace(0, 255, 17).round().astype(np.uint8)
COLOURS = np.stack(np.meshgrid(LEVELS, LEVELS, LEVELS, indexing="ij"), axis=-1).reshape(17, -1, 3)
LINEAR = ColourSpace("linear sRGB", spaces.SRGB.to_xyz, (spaces.power_curve(1.0),) * 3)
P3 = ColourSpace("Display P3", spaces.xyz_matrix(spaces.P3_PRIMARIES), (decode,) * 3)


def profile_of(space: ColourSpace, parametric: bool = False) -> bytes:
    """An ICC profile of a space, as another program would embed it."""
    codes = np.linspace(0, 1, 4096)
    table = np.rint(space.curves[0](codes) * 65535).astype(">u2").tobytes()
    curve = b"curv" + bytes(4) + struct.pack(">I", 4096) + table
    if parametric:
        values = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
        curve = b"para" + bytes(4) + struct.pack(">HH5i", 3, 0, *(round(65536 * value) for value in values))
    return icc._matrix_profile(space.name, space.to_xyz, curve)


def by_little_cms(pixels: Pixels, profile: bytes) -> Pixels:
    image = Image.fromarray(np.ascontiguousarray(pixels[..., ::-1]))
    converted = ImageCms.profileToProfile(
        image, io.BytesIO(profile), ImageCms.createProfile("sRGB"), ImageCms.Intent.RELATIVE_COLORIMETRIC
    )
    return np.asarray(converted)[..., ::-1]


@pytest.mark.parametrize("space", [spaces.ADOBE_RGB, P3, LINEAR], ids=lambda space: space.name)
def test_little_cms_agrees_within_a_code(space: ColourSpace) -> None:
    profile = profile_of(space, parametric=space is P3)
    converted, name = convert_to_srgb(COLOURS, profile)
    assert name == space.name
    assert np.abs(converted.astype(int) - by_little_cms(COLOURS, profile)).max() <= 1


@pytest.mark.parametrize("space", [spaces.ADOBE_RGB, P3, LINEAR], ids=lambda space: space.name)
def test_sixteen_bits_are_kept(space: ColourSpace) -> None:
    deep = np.random.default_rng(1).integers(0, 65536, (40, 50, 3), np.uint16)
    converted, _ = convert_to_srgb(deep, profile_of(space))
    assert converted.dtype == np.uint16
    linear = np.stack([space.curves[0](deep[..., c] / 65535) for c in (2, 1, 0)], axis=-1)
    light = np.clip(linear @ (np.linalg.inv(spaces.SRGB.to_xyz) @ space.to_xyz).T, 0, 1)
    encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)[..., ::-1]
    # the profile's own numbers are rounded to 16 bits
    assert np.abs(converted - 65535 * encoded).max() < 32


def test_sixteen_bits_as_little_cms_of_imagecodecs_has_them() -> None:
    imagecodecs = pytest.importorskip("imagecodecs")
    deep = COLOURS.astype(np.uint16) * 257
    profile = profile_of(spaces.ADOBE_RGB)
    other = imagecodecs.cms_transform(
        np.ascontiguousarray(deep[..., ::-1]), profile, srgb_profile(), colorspace="rgb", outcolorspace="rgb", intent=1
    )[..., ::-1]
    inside = (other > 2000).all(axis=2) & (other < 65000).all(axis=2)
    difference = np.abs(convert_to_srgb(deep, profile)[0].astype(int) - other)[inside]
    assert np.median(difference) < 16
    assert np.percentile(difference, 99) < 128  # half a code of 8 bits


@pytest.mark.parametrize(
    "profile",
    [srgb_profile(), ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()],
    ids=["ours", "lcms"],
)
def test_srgb_stays_as_it_is(profile: bytes) -> None:
    for pixels in (COLOURS, COLOURS.astype(np.uint16) * 257 + 3):
        converted, name = convert_to_srgb(pixels, profile)
        assert converted is pixels
        assert name == ""


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp"])
def test_profiles_are_found_in_every_format(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    smooth = cv2.resize(COLOURS, (64, 48), interpolation=cv2.INTER_CUBIC)
    options = {".webp": {"lossless": True}, ".jpg": {"quality": 100, "subsampling": 0}}.get(suffix, {})
    profile = profile_of(spaces.ADOBE_RGB)
    Image.fromarray(np.ascontiguousarray(smooth[..., ::-1])).save(path, icc_profile=profile, **options)
    picture = open_picture(path)
    assert picture.converted_from == "Adobe RGB (1998)"
    expected = by_little_cms(np.asarray(Image.open(path).convert("RGB"))[..., ::-1], profile)
    assert np.abs(picture.pixels.astype(int) - expected).max() <= (3 if suffix == ".jpg" else 1)


def test_a_profile_in_a_sixteen_bit_tiff(tmp_path: Path) -> None:
    deep = COLOURS.astype(np.uint16) * 257
    tifffile.imwrite(tmp_path / "a.tif", deep[..., ::-1], photometric="rgb", iccprofile=profile_of(LINEAR))
    assert np.array_equal(read_picture(tmp_path / "a.tif"), convert_to_srgb(deep, profile_of(LINEAR))[0])


def test_grey_profiles(tmp_path: Path) -> None:
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(1.8 * 256))
    grey = bytearray(icc._matrix_profile("grey gamma 1.8", spaces.SRGB.to_xyz, curve))
    grey[16:20] = b"GRAY"
    at = grey.index(b"rTRC")
    grey[at : at + 4] = b"kTRC"
    codes = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(codes).save(tmp_path / "a.png", icc_profile=bytes(grey))
    picture = open_picture(tmp_path / "a.png")
    light = (codes / 255.0) ** (461 / 256)
    encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert np.abs(picture.pixels[..., 1] - 255 * encoded).max() <= 0.51


@pytest.mark.parametrize("damage", [b"", b"x" * 200, srgb_profile()[:200], srgb_profile()[:140] + bytes(500)])
def test_damaged_and_unfitting_profiles_are_refused_by_name(damage: bytes) -> None:
    with pytest.raises(CaptureError, match="colour profile"):
        convert_to_srgb(COLOURS, damage)
    inks = srgb_profile().replace(b"RGB ", b"CMYK", 1)
    with pytest.raises(CaptureError, match="CMYK"):
        convert_to_srgb(COLOURS, inks)


def with_chunks(path: Path, pixels: Pixels, *chunks: tuple[bytes, bytes]) -> Path:
    data = cv2.imencode(".png", pixels)[1].tobytes()
    added = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    path.write_bytes(data[:33] + added + data[33:])
    return path


GAMMA_1 = (b"gAMA", struct.pack(">I", 100000))
GAMMA_22 = (b"gAMA", struct.pack(">I", 45455))
SRGB_CHUNK = (b"sRGB", b"\0")
SRGB_PRIMARIES = (b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000))
P3_PRIMARIES = (b"cHRM", struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000))


@pytest.mark.parametrize(
    ("chunks", "space"),
    [
        ([GAMMA_1], LINEAR),
        ([GAMMA_1, SRGB_PRIMARIES], LINEAR),
        ([GAMMA_22, SRGB_PRIMARIES], None),
        ([SRGB_CHUNK, GAMMA_1], None),  # sRGB goes before gAMA
        ([P3_PRIMARIES], P3),
        ([(b"cICP", bytes([12, 13, 0, 1]))], P3),
        ([(b"cICP", bytes([1, 13, 0, 1])), GAMMA_1], None),  # cICP goes before all
        ([(b"cICP", bytes([1, 8, 0, 1])), SRGB_CHUNK], LINEAR),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_png_colour_chunks(
    tmp_path: Path, chunks: list[tuple[bytes, bytes]], space: ColourSpace | None, dtype: type
) -> None:
    pixels = COLOURS if dtype is np.uint8 else COLOURS.astype(np.uint16) * 257
    read = read_picture(with_chunks(tmp_path / "a.png", pixels, *chunks))
    expected = pixels if space is None else spaces.to_srgb(pixels, space)[0]
    assert np.abs(read.astype(int) - expected).max() <= (1 if dtype is np.uint8 else 2)


@pytest.mark.parametrize(("transfer", "words"), [(16, "PQ"), (18, "HLG"), (200, "code points")])
def test_hdr_pngs_are_refused_by_name(tmp_path: Path, transfer: int, words: str) -> None:
    path = with_chunks(tmp_path / "a.png", COLOURS, (b"cICP", bytes([9, transfer, 0, 1])))
    with pytest.raises(CaptureError, match=words):
        read_picture(path)


@pytest.mark.parametrize("x", [0, 64000, 31270])
def test_impossible_primaries_are_refused_in_one_line(tmp_path: Path, x: int) -> None:
    body = struct.pack(">8I", 31270, 32900, *(x, 33000) * 3)
    with pytest.raises(CaptureError, match="its primaries"):
        read_picture(with_chunks(tmp_path / "a.png", COLOURS, (b"cHRM", body)))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp"])
def test_what_is_written_as_srgb_says_so_and_reads_back_the_same(tmp_path: Path, suffix: str) -> None:
    smooth = cv2.resize(COLOURS, (64, 48), interpolation=cv2.INTER_CUBIC)
    write_picture(tmp_path / f"a{suffix}", smooth, srgb=True)
    write_picture(tmp_path / f"b{suffix}", smooth)
    with Image.open(tmp_path / f"a{suffix}") as tagged, Image.open(tmp_path / f"b{suffix}") as plain:
        assert tagged.info["icc_profile"] == srgb_profile()
        assert not plain.info.get("icc_profile")
    assert np.array_equal(read_picture(tmp_path / f"a{suffix}"), read_picture(tmp_path / f"b{suffix}"))


def table_profile(space: ColourSpace) -> bytes:
    """A profile made of a table (lut16Type, two entries a side), exact for a linear space."""
    corners = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij"), axis=-1).reshape(-1, 3)
    xyz = np.clip(corners @ space.to_xyz.T * 32768, 0, 65535).round().astype(">u2")
    identity = struct.pack(">9i", *(65536, 0, 0, 0, 65536, 0, 0, 0, 65536))
    ramp = struct.pack(">6H", *(0, 65535) * 3)
    body = b"mft2" + bytes(4) + bytes([3, 3, 2, 0]) + identity + struct.pack(">2H", 2, 2) + ramp + xyz.tobytes() + ramp
    plain = icc._matrix_profile(space.name, space.to_xyz, b"curv" + bytes(8))
    tags = {**icc._tags(plain), b"A2B0": body}
    for name in (b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC"):
        del tags[name]
    at = 132 + 12 * len(tags)
    table, bodies = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += struct.pack(">4sII", name, at + len(bodies), len(content))
        bodies += content + bytes(-len(content) % 4)
    return struct.pack(">I", at + len(bodies)) + plain[4:128] + table + bodies


def test_profiles_made_of_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = convert_to_srgb(COLOURS.astype(np.uint16) * 257, profile_of(LINEAR))[0]
    converted, name = convert_to_srgb(COLOURS, table_profile(LINEAR))
    assert name == "linear sRGB"
    bright = (COLOURS > 40).all(axis=2)
    assert np.abs(converted.astype(int) - expected / 257)[bright].max() < 2
    pytest.importorskip("imagecodecs")
    deep, _ = convert_to_srgb(COLOURS.astype(np.uint16) * 257, table_profile(LINEAR))
    assert deep.dtype == np.uint16
    assert np.abs(deep.astype(int) - expected)[bright].max() < 2 * 257
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with pytest.raises(CaptureError, match=r"linear sRGB.*livemef\[formats\]"):
        convert_to_srgb(COLOURS.astype(np.uint16), table_profile(LINEAR))
