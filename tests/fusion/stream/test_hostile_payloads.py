"""Payloads that would cost a receiver far more than their bytes: judged by their structure, never decoded."""

import io
import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from livemef.fusion.stream import wire
from tests.fusion.stream.stream_samples import header, ramp

ROOT = Path(__file__).parents[3]
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind, body, length=None):
    crc = struct.pack(">I", zlib.crc32(kind + body))
    return struct.pack(">I", len(body) if length is None else length) + kind + body + crc


def png(width, height, data, depth=8, colour=2, *extra):
    start = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return SIGNATURE + start + b"".join(extra) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def jpeg(width, height, mode="RGB", **options):
    noise = np.random.default_rng(1).integers(0, 255, (height, width, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(out, "JPEG", **options)
    return out.getvalue()


def resized(data, width, height):
    """The JPEG with another size in its frame header."""
    for marker in (b"\xff\xc0", b"\xff\xc2"):
        at = data.find(marker)
        if at > 0:
            return data[: at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]
    raise AssertionError("no frame header")


def many_scans(count):
    """A baseline JPEG whose only scan is repeated."""
    data = jpeg(64, 64, subsampling=0)
    at = data.index(b"\xff\xda")
    return data[:at] + data[at:-2] * count + data[-2:]


def message(payload, width, height, codec, encoding="bgr8"):
    described = json.loads(wire.encode("fused", header(), ramp())[1])
    step = width * (3 if encoding == "bgr8" else 6)
    described |= {"width": width, "height": height, "step": min(step, 1_000_000), "codec": codec, "encoding": encoding}
    return [b"fused", json.dumps(described).encode(), payload]


HUGE = 16000
ZEROS = zlib.compress(bytes(1 << 20), 9)
CASES = {
    "PNG chunk of 4 GB": (SIGNATURE + png(64, 48, b"")[8:33] + b"\xff\xff\xff\xffIDAT" + b"x" * 40, 64, 48, "png"),
    "PNG whose size its data cannot hold": (png(11000, 11000, ZEROS), 11000, 11000, "png"),
    "PNG above the limit": (png(HUGE, HUGE, ZEROS), HUGE, HUGE, "png"),
    "animated PNG": (png(8, 8, zlib.compress(bytes(200)), 8, 2, chunk(b"acTL", bytes(8))), 8, 8, "png"),
    "PNG with a palette": (png(8, 8, zlib.compress(bytes(72)), 8, 3, chunk(b"PLTE", bytes(9))), 8, 8, "png"),
    "PNG of 16 bits for 8": (png(8, 8, zlib.compress(bytes(8 * 49)), 16), 8, 8, "png"),
    "PNG of too few rows": (png(64, 64, zlib.compress(bytes(193 * 5))), 64, 64, "png"),
    "progressive JPEG": (jpeg(64, 48, progressive=True), 64, 48, "jpeg"),
    "huge progressive JPEG": (resized(jpeg(64, 48, progressive=True), 11000, 11000), 11000, 11000, "jpeg"),
    "JPEG whose size its data cannot hold": (resized(jpeg(64, 48), 11000, 11000), 11000, 11000, "jpeg"),
    "JPEG above the limit": (resized(jpeg(64, 48), HUGE, HUGE), HUGE, HUGE, "jpeg"),
    "JPEG of 50 scans": (many_scans(50), 64, 64, "jpeg"),
    "JPEG of 2000 scans": (many_scans(2000), 64, 64, "jpeg"),
    "grey JPEG": (jpeg(64, 48, "L"), 64, 48, "jpeg"),
    "CMYK JPEG": (jpeg(64, 48, "CMYK"), 64, 48, "jpeg"),
    "JPEG cut off": (jpeg(64, 48)[:1500], 64, 48, "jpeg"),
    "JPEG cut off before its end mark": (jpeg(64, 48)[:2200] + b"\xff\xd9", 64, 48, "jpeg"),
    "JPEG for a PNG": (jpeg(64, 48), 64, 48, "png"),
    "PNG for a JPEG": (png(8, 8, zlib.compress(bytes(200))), 8, 8, "jpeg"),
    "raw above the limit": (b"x", HUGE, HUGE, "raw"),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_refused_in_one_line(name):
    with pytest.raises(wire.WireError) as caught:
        wire.decode(message(*CASES[name]))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_all_of_them_together_cost_little_memory():
    script = (
        "import resource\nfrom livemef.fusion.stream import wire\n"
        "from tests.fusion.stream.test_hostile_payloads import CASES, message\n"
        "messages = [message(*case) for case in CASES.values()]\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for parts in messages:\n"
        "    try:\n        wire.decode(parts)\n    except wire.WireError:\n        pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 100_000  # kB


def test_the_limit_of_pixels_is_the_callers():
    parts = wire.encode("fused", header(codec="png"), np.zeros((20, 30, 3), np.uint8))
    assert wire.decode(parts, most_pixels=600).pixels.shape == (20, 30, 3)
    for codec in ("raw", "png", "jpeg"):
        parts = wire.encode("fused", header(codec=codec), np.zeros((20, 30, 3), np.uint8))
        with pytest.raises(wire.WireError, match="limit of 599"):
            wire.decode(parts, most_pixels=599)


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("size", [(1, 1), (8, 8), (17, 33), (640, 480)])
def test_baseline_jpegs_of_other_encoders_are_read(subsampling, size):
    data = jpeg(*size, subsampling=subsampling)
    pixels = wire.decode(message(data, *size, "jpeg")).pixels
    np.testing.assert_array_equal(pixels, cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))


def test_pngs_of_other_encoders_are_read():
    picture = np.random.default_rng(2).integers(0, 255, (33, 17, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(picture[..., ::-1]).save(out, "PNG", dpi=(72, 72), compress_level=9)
    np.testing.assert_array_equal(wire.decode(message(out.getvalue(), 17, 33, "png")).pixels, picture)
