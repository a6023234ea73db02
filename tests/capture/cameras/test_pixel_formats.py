"""Bytes of cameras to BGR: right colours, padding cut off, damaged data refused."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livemef.capture.cameras.pixel_formats import FORMATS, bgr, bgrx
from livemef.capture.frame import Pixels
from tests.vm.usb_camera.__main__ import encode

COLOURS = ("NV12", "YUYV", "MJPEG")


def smooth(width: int = 64, height: int = 48) -> Pixels:
    picture = np.random.default_rng(1).integers(40, 216, (height, width, 3), np.uint8)
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 8))


def stride(name: str, width: int) -> int:
    sizes = {"NV12": 1, "YUV420": 1, "YUYV": 2, "GREY": 1, "Y10": 2, "Y12": 2, "Y16": 2}
    return sizes.get(name, 0) * width


def padded(data: bytes, line: int, padding: int) -> np.ndarray:
    lines = np.frombuffer(data, np.uint8).reshape(-1, line)
    return np.pad(lines, ((0, 0), (0, padding)), constant_values=77).reshape(-1)


@pytest.mark.parametrize("name", COLOURS)
def test_colours_come_back(name: str) -> None:
    picture = smooth()
    decoded = FORMATS[name].decode(np.frombuffer(encode(picture, name), np.uint8), 64, 48, stride(name, 64))
    assert decoded is not None
    assert decoded.dtype == FORMATS[name].dtype
    assert np.abs(decoded.astype(int) - picture).max() <= 6


@given(padding=st.integers(0, 40), name=st.sampled_from(("NV12", "YUYV")))
def test_padding_is_cut_off(padding: int, name: str) -> None:
    line = stride(name, 64)
    data = encode(smooth(), name)
    plain = FORMATS[name].decode(np.frombuffer(data, np.uint8), 64, 48, line)
    cut = FORMATS[name].decode(padded(data, line, padding), 64, 48, line + padding)
    assert plain is not None
    assert cut is not None
    assert np.array_equal(plain, cut)


@given(share=st.floats(0.0, 0.98), name=st.sampled_from((*COLOURS, "Y16")))
def test_cut_off_data_is_no_picture(share: float, name: str) -> None:
    data = np.frombuffer(encode(smooth(), name), np.uint8)
    assert FORMATS[name].decode(data[: int(share * data.size)], 64, 48, stride(name, 64)) is None


@pytest.mark.parametrize("tail", [0, 5000, 200_000])
def test_zeros_behind_a_jpeg_do_not_matter(tail: int) -> None:
    data = np.frombuffer(encode(smooth(), "MJPEG"), np.uint8)
    padded_data = np.concatenate([data, np.zeros(tail, np.uint8)])
    picture = FORMATS["MJPEG"].decode(padded_data, 64, 48, 0)
    assert picture is not None
    assert np.array_equal(picture, FORMATS["MJPEG"].decode(data, 64, 48, 0))


def test_damaged_jpegs_are_no_pictures() -> None:
    noise = np.random.default_rng(2).integers(0, 256, (48, 64, 3), np.uint8)
    data = np.frombuffer(encode(noise, "MJPEG"), np.uint8)
    middle = data.size // 2
    lost = np.delete(data, slice(middle, middle + 600))
    zeroed = data.copy()
    zeroed[middle : middle + 600] = 0
    for damaged in (lost, zeroed, np.concatenate([data[:middle], data])):
        assert FORMATS["MJPEG"].decode(damaged, 64, 48, 0) is None


def test_jpeg_of_another_size_is_no_picture() -> None:
    data = np.frombuffer(encode(smooth(), "MJPEG"), np.uint8)
    assert FORMATS["MJPEG"].decode(data, 32, 48, 0) is None
    assert FORMATS["MJPEG"].decode(np.zeros(100, np.uint8), 64, 48, 0) is None


@pytest.mark.parametrize(("name", "highest"), [("Y10", 1023), ("Y12", 4095), ("Y16", 65535)])
def test_deep_grey_reaches_its_white(name: str, highest: int) -> None:
    plane = np.array([[0, highest], [highest // 2, 1]], "<u2")
    picture = FORMATS[name].decode(plane.view(np.uint8).reshape(-1), 2, 2, 4)
    assert picture is not None
    assert picture.dtype == np.uint16
    assert picture[0, 1].tolist() == [FORMATS[name].white] * 3
    assert picture[0, 0].tolist() == [0, 0, 0]


def test_bgr_is_taken_as_it_is() -> None:
    picture = smooth()
    assert np.array_equal(bgr(padded(picture.tobytes(), 192, 5), 64, 48, 197), picture)


@pytest.mark.parametrize("name", list(FORMATS))
@given(padding=st.sampled_from((0, 2, 16)))
def test_pictures_are_converted_into_given_memory(name: str, padding: int) -> None:
    picture = smooth()
    line = stride(name, 64)
    data = np.frombuffer(encoded(picture, name), np.uint8)
    if name == "YUV420":
        padding = 0  # its planes differ in padding: see below
    if line:
        data = padded(data.tobytes(), line, padding)
    plain = FORMATS[name].decode(data, 64, 48, line + padding)
    given_memory = np.zeros((48, 64, 3), FORMATS[name].dtype)
    written = FORMATS[name].decode(data, 64, 48, line + padding, given_memory)
    assert plain is not None
    assert written is not None
    assert written.ctypes.data == given_memory.ctypes.data
    assert np.array_equal(plain, given_memory)


def test_four_bytes_a_pixel() -> None:
    picture = smooth()
    four = np.dstack([picture, np.full((48, 64), 9, np.uint8)]).tobytes()
    given_memory = np.zeros((48, 64, 3), np.uint8)
    bgrx(padded(four, 256, 12), 64, 48, 268, given_memory)
    assert np.array_equal(given_memory, picture)


def encoded(picture: Pixels, name: str) -> bytes:
    """A picture as a camera sends it, also in the formats that the virtual machine's camera lacks."""
    if name == "YUV420":
        return cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420).tobytes()
    if name in ("GREY", "Y10", "Y12"):
        grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
        return grey.tobytes() if name == "GREY" else (grey.astype("<u2") << (int(name[1:]) - 8)).tobytes()
    return encode(picture, name)


def test_planes_with_padding() -> None:
    """Lines of the planes for colour are half as long as those of luma, padding included."""
    data = encoded(smooth(), "YUV420")
    luma, colour = data[: 64 * 48], data[64 * 48 :]
    apart = np.concatenate([padded(luma, 64, 16), padded(colour, 32, 8)])
    plain = FORMATS["YUV420"].decode(np.frombuffer(data, np.uint8), 64, 48, 64)
    assert np.array_equal(plain, FORMATS["YUV420"].decode(apart, 64, 48, 80))
    assert np.abs(plain.astype(int) - smooth()).max() <= 6  # type: ignore[union-attr]
