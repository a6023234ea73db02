from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from livemef.capture.errors import CaptureError
from livemef.capture.files.image_io import exif_exposure, read_picture, to_8_bit, write_picture
from livemef.capture.files.jpeg import read_jpeg_header
from livemef.capture.frame import Exposure, Pixels


def photo(bits: int = 8, seed: int = 1) -> Pixels:
    noise = np.random.default_rng(seed).integers(0, 2**bits, (60, 80, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 4)
    scaled = cv2.normalize(smooth, None, 0, 2**bits - 1, cv2.NORM_MINMAX)
    return scaled.astype(np.uint8 if bits == 8 else np.uint16)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff"])
@pytest.mark.parametrize("bits", [8, 16])
def test_lossless_formats_keep_every_bit(tmp_path: Path, suffix: str, bits: int) -> None:
    path = tmp_path / f"a{suffix}"
    write_picture(path, photo(bits))
    back = read_picture(path)
    assert back.dtype == photo(bits).dtype
    assert np.array_equal(back, photo(bits))
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_webp_is_lossless_and_16_bits_are_rounded(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.webp", photo(16))
    assert np.array_equal(read_picture(tmp_path / "a.webp"), np.round(photo(16) / 257).astype(np.uint8))


def test_jpeg_from_16_bits_is_the_jpeg_of_the_rounded_picture(tmp_path: Path) -> None:
    write_picture(tmp_path / "deep.jpg", photo(16))
    write_picture(tmp_path / "flat.jpg", np.round(photo(16) / 257).astype(np.uint8))
    assert (tmp_path / "deep.jpg").read_bytes() == (tmp_path / "flat.jpg").read_bytes()
    difference = read_picture(tmp_path / "deep.jpg").astype(int) - np.round(photo(16) / 257)
    assert np.abs(difference).mean() < 1.0


def test_rounding_to_8_bits_is_to_the_nearest_for_every_code() -> None:
    codes = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    assert np.array_equal(to_8_bit(codes), np.floor(codes / 257.0 + 0.5).astype(np.uint8))


def test_grey_alpha_and_palette_become_bgr(tmp_path: Path) -> None:
    colour = photo()
    cv2.imwrite(str(tmp_path / "grey.png"), colour[..., 0])
    assert np.array_equal(read_picture(tmp_path / "grey.png"), np.dstack([colour[..., 0]] * 3))
    cv2.imwrite(str(tmp_path / "alpha.png"), np.dstack([colour, colour[..., 0]]))
    assert np.array_equal(read_picture(tmp_path / "alpha.png"), colour)
    Image.fromarray(colour[..., ::-1]).quantize(16).save(tmp_path / "palette.png")
    assert read_picture(tmp_path / "palette.png").shape == colour.shape


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
@pytest.mark.parametrize(("orientation", "quarter_turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_exif_orientation_is_applied(tmp_path: Path, suffix: str, orientation: int, quarter_turns: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned{suffix}"
    Image.fromarray(photo()[..., ::-1]).save(path, exif=exif, **({"quality": 100} if suffix == ".jpg" else {}))
    upright = np.rot90(photo(), quarter_turns)
    back = read_picture(path)
    assert back.shape == upright.shape
    assert np.abs(back.astype(int) - upright).mean() < 2


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
@given(fraction=st.floats(0.0, 1.0, exclude_max=True))
def test_every_truncated_picture_is_refused(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, fraction: float
) -> None:
    data = cv2.imencode(suffix, photo())[1].tobytes()
    path = tmp_path_factory.mktemp("cut") / f"cut{suffix}"
    path.write_bytes(data[: int(fraction * len(data))])
    with pytest.raises(CaptureError, match=f"cut{suffix}"):
        read_picture(path)


@pytest.mark.parametrize("progressive", [False, True])
def test_whole_jpegs_pass_also_with_restarts_thumbnail_and_tail(progressive: bool) -> None:
    settings = [cv2.IMWRITE_JPEG_PROGRESSIVE, int(progressive), cv2.IMWRITE_JPEG_RST_INTERVAL, 2]
    data = cv2.imencode(".jpg", photo(), settings)[1].tobytes()
    thumbnail = b"\xff\xe1" + (2 + len(data)).to_bytes(2, "big") + data
    with_thumbnail = data[:2] + thumbnail + data[2:]
    assert read_jpeg_header(data).fault is None
    assert read_jpeg_header(with_thumbnail).fault is None
    assert read_jpeg_header(data + b"maker's own data").fault is None
    # an end mark inside the thumbnail is not the picture's
    assert read_jpeg_header(with_thumbnail[: len(thumbnail) + 40]).fault is not None


def test_damaged_png_is_refused(tmp_path: Path) -> None:
    data = bytearray(cv2.imencode(".png", photo())[1].tobytes())
    data[len(data) // 2] ^= 0x10
    (tmp_path / "damaged.png").write_bytes(data)
    with pytest.raises(CaptureError, match="checksum"):
        read_picture(tmp_path / "damaged.png")


def test_what_is_no_picture_is_refused_in_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.jpg").touch()
    cv2.imwrite(str(tmp_path / "float.tif"), np.ones((4, 4, 3), np.float32))
    for path in [*tmp_path.iterdir(), tmp_path / "missing.png", tmp_path]:
        with pytest.raises(CaptureError) as caught:
            read_picture(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_writing_refuses_unknown_formats_and_missing_folders(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=r"\.png"):
        write_picture(tmp_path / "a.bmpp", photo())
    with pytest.raises(CaptureError, match="nowhere"):
        write_picture(tmp_path / "nowhere" / "a.png", photo())
    assert list(tmp_path.iterdir()) == []


def save_with_exif(path: Path, seconds: tuple[int, int] | None, iso: int | None) -> None:
    exif = Image.Exif()
    ifd = exif.get_ifd(0x8769)
    if seconds is not None:
        ifd[0x829A] = IFDRational(*seconds)
    if iso is not None:
        ifd[0x8827] = iso
    Image.fromarray(photo()[..., ::-1]).save(path, exif=exif)


def test_exif_exposure(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    save_with_exif(path, (1, 50), 400)
    assert exif_exposure(path) == Exposure(20000.0, 4.0)
    save_with_exif(path, (1, 50), None)
    assert exif_exposure(path) == Exposure(20000.0, 1.0)
    save_with_exif(path, None, 400)
    assert exif_exposure(path) is None
    save_with_exif(path, (1, 0), 400)
    assert exif_exposure(path) is None
    (tmp_path / "text.jpg").write_text("no picture")
    assert exif_exposure(tmp_path / "text.jpg") is None
    with pytest.raises(CaptureError):
        exif_exposure(tmp_path / "missing.jpg")


def test_a_jpeg_has_the_quality_that_was_asked_for(tmp_path: Path) -> None:
    sizes = {}
    light = np.random.default_rng(3).integers(0, 256, (60, 80, 3), np.uint8)
    for quality in (50, 92):
        path = tmp_path / f"{quality}.jpg"
        write_picture(path, light, srgb=True, jpeg_quality=quality)
        with Image.open(path) as picture:
            assert b"sRGB" in picture.info["icc_profile"]
        sizes[quality] = path.stat().st_size
    assert sizes[50] < 0.7 * sizes[92]
