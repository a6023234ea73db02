"""JPEG: what its headers say, and that damage does not pass as a picture."""

from __future__ import annotations

import io
import struct

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from livemef.capture.errors import CaptureError
from livemef.capture.files.jpeg import MOST_SCANS, decode_jpeg, read_jpeg_header
from livemef.capture.frame import Pixels


def textured(width: int = 160, height: int = 120, seed: int = 3) -> Pixels:
    rng = np.random.default_rng(seed)
    coarse = cv2.resize(rng.uniform(20, 230, (12, 16, 3)), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(coarse + rng.normal(0, 8, (height, width, 1)), 0, 255).astype(np.uint8)


def encoded(pixels: Pixels, mode: str = "RGB", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., ::-1]).convert(mode).save(buffer, "JPEG", **{"quality": 85, **options})
    return buffer.getvalue()


WHOLE = encoded(textured())
LARGE = encoded(textured(640, 480))
START = WHOLE.index(b"\xff\xda") + 20


def refused(data: bytes) -> bool:
    try:
        decode_jpeg(data, read_jpeg_header(data))
    except CaptureError:
        return True
    return False


@pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"progressive": True}, {"optimize": True}])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_whole_ones_are_as_another_reader_sees_them(mode: str, options: dict[str, object]) -> None:
    data = encoded(textured(), mode, **options)
    header = read_jpeg_header(data)
    assert (header.width, header.height, header.precision, header.fault) == (160, 120, 8, None)
    assert header.components == (3 if mode == "RGB" else 1)
    assert header.process == ("progressive" if "progressive" in options else "baseline")
    assert header.end == len(data)
    other = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))[..., ::-1]
    assert np.abs(decode_jpeg(data, header).astype(int) - other).max() <= 1


def test_flat_pictures_are_no_damage() -> None:
    for options in ({}, {"optimize": True}, {"progressive": True}):
        data = encoded(np.zeros((2000, 2000, 3), np.uint8), **options)
        assert not refused(data)


@pytest.mark.parametrize("length", [512, 800, 1024, 3072])
def test_lost_bytes_are_found(length: int) -> None:
    # USB loses packets of such lengths. By chance the rest can fill the picture exactly: then nobody can know
    cuts = np.linspace(START, len(LARGE) - length - 100, 60).astype(int)
    found = [refused(LARGE[:cut] + LARGE[cut + length :]) for cut in cuts]
    assert np.mean(found) >= 0.95


@settings(deadline=None)
@given(at=st.floats(0, 0.8), length=st.integers(24, 3000))
def test_zeroed_bytes_are_found(at: float, length: int) -> None:
    cut = START + int(at * (len(WHOLE) - START - length))
    assert refused(WHOLE[:cut] + bytes(length) + WHOLE[cut + length :])


@given(at=st.floats(0.05, 0.95))
def test_an_end_mark_after_half_a_picture_saves_nothing(at: float) -> None:
    cut = int(at * len(WHOLE))
    assert refused(WHOLE[:cut] + b"\xff\xd9")
    assert refused(WHOLE[:cut])
    assert refused(WHOLE[:cut] + WHOLE)  # two frames run together


@pytest.mark.parametrize("tail", [bytes(200_000), b"maker's own data", WHOLE])
def test_what_follows_the_end_mark_does_not_matter(tail: bytes) -> None:
    header = read_jpeg_header(WHOLE + tail)
    assert header.fault is None
    assert header.end == len(WHOLE)
    assert np.array_equal(decode_jpeg(WHOLE + tail, header), decode_jpeg(WHOLE, header))


def test_padding_of_usb_cameras_is_accepted() -> None:
    # Logitech C270, C910 and others pad before restart and end marks, in every frame: libjpeg warns, nothing is lost
    restarts = bytearray(cv2.imencode(".jpg", textured(), [cv2.IMWRITE_JPEG_RST_INTERVAL, 5])[1].tobytes())
    mark = restarts.index(b"\xff\xd3")
    padded = bytes(restarts[:mark] + b"\x55" * 10 + restarts[mark:])
    header = read_jpeg_header(padded)
    assert np.array_equal(decode_jpeg(padded, header), decode_jpeg(bytes(restarts), read_jpeg_header(bytes(restarts))))


def test_a_small_file_that_claims_a_huge_picture_is_refused_by_its_header() -> None:
    for options in ({}, {"progressive": True}):
        data = bytearray(encoded(textured(), **options))
        frame = data.index(b"\xff\xc2" if options else b"\xff\xc0")
        data[frame + 5 : frame + 9] = struct.pack(">HH", 16000, 16000)
        header = read_jpeg_header(bytes(data))
        assert (header.width, header.height) == (16000, 16000)
        assert "too little data" in str(header.fault)


def test_thousands_of_scans_are_refused() -> None:
    data = encoded(textured(), progressive=True)
    last = data.rindex(b"\xff\xda")
    many = data[:last] + data[last:-2] * (MOST_SCANS + 1) + data[-2:]
    assert "scans" in str(read_jpeg_header(many).fault)


@pytest.mark.parametrize(
    ("marker", "process"), [(0xC3, "lossless"), (0xF7, "JPEG-LS"), (0xC9, "arithmetic"), (0xC1, "extended")]
)
def test_processes_have_names(marker: int, process: str) -> None:
    data = WHOLE.replace(b"\xff\xc0", bytes([0xFF, marker]), 1)
    assert read_jpeg_header(data).process == process


def test_metadata_is_found_and_a_profile_in_parts_is_joined() -> None:
    data = encoded(textured(), exif=b"Exif\0\0II*\0", icc_profile=bytes(range(256)) * 400)
    header = read_jpeg_header(data)
    assert header.exif == b"II*\0"
    assert header.icc == bytes(range(256)) * 400


@given(st.binary(max_size=400) | st.binary(max_size=400).map(lambda data: WHOLE[:300] + data))
def test_any_bytes_give_a_header(data: bytes) -> None:
    header = read_jpeg_header(data)
    assert header.fault is not None or header.end <= len(data)
