"""Video files by PyAV. (By hand, 2026-11-26: 36 clips of odd kinds against ffmpeg 5.1's own decoding to RGB.)"""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from livemef.capture.errors import CaptureError
from livemef.capture.files.video import VideoFile, open_footage
from livemef.capture.files.video_av import AvVideoFile
from livemef.capture.frame import Pixels

av = pytest.importorskip("av")

BGR = np.array([(40, 40, 200), (40, 180, 60), (200, 70, 50), (128, 128, 128)], np.float64)
KR_KB = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 9: (0.2627, 0.0593)}
"""Luma weights of BT.709, BT.601, BT.2020 by their number in ITU-T H.273."""


def yuv(matrix: int, full: bool) -> Pixels:
    """Four bars of 32 pixels as planar 4:2:0, by the standard's formulas."""
    kr, kb = KR_KB[matrix]
    blue, green, red = BGR.T / 255
    y = kr * red + (1 - kr - kb) * green + kb * blue
    cb, cr = (blue - y) / (2 - 2 * kb), (red - y) / (2 - 2 * kr)
    planes = [255 * y, 255 * cb + 128, 255 * cr + 128] if full else [16 + 219 * y, 128 + 224 * cb, 128 + 224 * cr]
    bars = [np.repeat(np.rint(plane).astype(np.uint8), 32) for plane in planes]
    luma = np.tile(bars[0], (64, 1))
    chroma = [np.tile(bar[::2], (32, 1)).reshape(-1, 128) for bar in bars[1:]]
    return np.vstack([luma, *chroma])


def write(path: Path, planes: Pixels, count: int = 4, codec: str = "ffv1", **context: Any) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(25), options=context.pop("options", {}))
        stream.width, stream.height, stream.pix_fmt = 128, 64, "yuv420p"
        for name, value in context.items():
            setattr(stream.codec_context, name, value)
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts = number
            for name in ("colorspace", "color_range"):
                if name in context:
                    setattr(frame, name, context[name])
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def ramp() -> Pixels:
    """The bars, darker downwards: no turn or mirror leaves the picture as it is."""
    planes = yuv(5, False)
    planes[:64] = planes[:64] * np.linspace(1, 0.5, 64)[:, None]
    return planes


def bars(pixels: Pixels) -> Pixels:
    return np.array([pixels[20:44, 32 * bar + 8 : 32 * bar + 24].mean((0, 1)) for bar in range(4)])


@pytest.mark.parametrize("matrix", KR_KB)
@pytest.mark.parametrize("full", [False, True])
def test_matrix_and_range_are_as_the_file_states(tmp_path: Path, matrix: int, full: bool) -> None:
    path = write(tmp_path / "clip.mkv", yuv(matrix, full), colorspace=matrix, color_range=2 if full else 1)
    frame = open_footage(path).frame(0)
    assert frame is not None
    np.testing.assert_allclose(bars(frame), BGR, atol=3)


def test_interlaced_footage_keeps_its_colours(tmp_path: Path) -> None:
    options = {"flags": "+ilme+ildct", "q:v": "2"}
    path = write(tmp_path / "clip.mpg", yuv(5, False), codec="mpeg2video", colorspace=5, options=options)
    frame = open_footage(path).frame(1)
    assert frame is not None
    np.testing.assert_allclose(bars(frame), BGR, atol=8)


@pytest.mark.parametrize("codec", ["libsvtav1", "libaom-av1"])
def test_av1_needs_no_decoder_in_hardware(tmp_path: Path, codec: str) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no {codec}")
    path = write(tmp_path / "clip.webm", yuv(1, False), codec=codec, colorspace=1, color_range=1)
    footage = open_footage(path)
    frames = [footage.frame(number) for number in range(5)]
    assert [frame is None for frame in frames] == [False] * 4 + [True]
    np.testing.assert_allclose(bars(frames[3]), BGR, atol=10)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("turns", "mirrored", "matrix"),
    [
        (1, False, (0, -1, 1, 0)),
        (2, False, (-1, 0, 0, -1)),
        (3, False, (0, 1, -1, 0)),
        (0, True, (-1, 0, 0, 1)),
        (2, True, (1, 0, 0, -1)),
    ],
)
def test_a_turned_telephone_gives_upright_pictures(
    tmp_path: Path, turns: int, mirrored: bool, matrix: tuple[int, ...]
) -> None:
    path = write(tmp_path / "clip.mp4", ramp(), codec="mpeg4", colorspace=5)
    flat = open_footage(path).frame(0)
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 44  # the display matrix (ISO/IEC 14496-12): a b u c d v x y w
    for at, value in zip((0, 4, 12, 16), matrix, strict=True):
        content[place + at : place + at + 4] = (value << 16).to_bytes(4, "big", signed=True)
    path.write_bytes(content)
    assert flat is not None
    turned = open_footage(path).frame(0)
    upright = np.rot90(flat[:, ::-1] if mirrored else flat, turns)
    np.testing.assert_array_equal(turned, upright)
    if not mirrored:  # which OpenCV ignores
        np.testing.assert_allclose(VideoFile(path).frame(0), turned, atol=12)  # type: ignore[arg-type]


def test_a_file_that_breaks_off_gives_what_it_holds(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (96, 128), np.uint8)
    path = write(tmp_path / "clip.mkv", noise, count=20)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    footage = open_footage(path)
    read = [number for number in range(25) if footage.frame(number) is not None]
    assert 5 <= len(read) <= 12
    assert read == list(range(len(read)))


def test_sound_alone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sound.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(CaptureError, match=r"sound\.mkv: holds no pictures"):
        AvVideoFile(path)


def test_another_file_named_inside_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "list.m3u8"
    path.write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/clip.ts\n")
    with pytest.raises(CaptureError, match=r"list\.m3u8"):
        open_footage(path)
