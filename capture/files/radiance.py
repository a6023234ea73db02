"""Pictures of linear light on disk: Radiance HDR, OpenEXR, and TIFF of 32-bit floats."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.capture.errors import CaptureError
from livemef.capture.files.image_io import write_atomically
from livemef.capture.files.opencv_log import quiet_opencv

RADIANCE_SUFFIXES = frozenset({".exr", ".hdr", ".tif", ".tiff"})
_ADOBE_DEFLATE = 8
"""TIFF's number; OpenCV has a name for it only from 4.10 on."""
MAX_RADIANCE_PIXELS = 1 << 26
"""Width times height of a map that is read: 0.8 GB of floats. A panorama of 8192 x 4096 has half of that."""
_HDR_SIZE = re.compile(rb"\n([-+])([XY]) (\d{1,9}) ([-+])([XY]) (\d{1,9})\n")
_LEAST_LINE_BYTES = 4
"""Of a line of pixels in a Radiance HDR picture, however well it is compressed."""


def read_radiance(path: str | Path) -> NDArray[np.float32]:
    """Linear light from a .hdr picture, or another with float samples that OpenCV reads: BGR, height x width x 3.

    Negative and infinite values become 0. The size that a .hdr claims is judged before it is decoded. Raises
    CaptureError for a file that is missing, damaged, too large, or holds no float samples.
    """
    path = Path(path)
    if not path.is_file():
        raise CaptureError(f"radiance map {path}: there is no such file")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CaptureError(f"radiance map {path}: cannot be read: {error.strerror}") from None
    if data.startswith(b"#?"):
        _judge_hdr(path, data)
    with quiet_opencv():
        try:
            buffer = np.frombuffer(data, np.uint8)
            pixels = cv2.imdecode(buffer, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR) if data else None
        except cv2.error:
            pixels = None
    if pixels is None or pixels.dtype != np.float32:
        raise CaptureError(f"radiance map {path}: is not a readable .hdr picture (or another with float samples)")
    return np.nan_to_num(np.maximum(pixels, 0), posinf=0.0).astype(np.float32)


def _judge_hdr(path: Path, data: bytes) -> None:
    found = _HDR_SIZE.search(data, 0, 1 << 16)
    if found is None:
        raise CaptureError(f"radiance map {path}: its header gives no size")
    lines, width = int(found[3]), int(found[6])
    if lines * width > MAX_RADIANCE_PIXELS:
        limit = f"{MAX_RADIANCE_PIXELS / 1e6:.0f} megapixels"
        raise CaptureError(f"radiance map {path}: is {width}x{lines}: more than {limit}; make it smaller")
    if len(data) - found.end() < _LEAST_LINE_BYTES * lines:
        raise CaptureError(f"radiance map {path}: truncated (too little data for {width}x{lines})")


def write_radiance(path: str | Path, light: NDArray[np.float32], comment: str = "") -> None:
    """Write linear light (BGR, height x width x 3, float32, sRGB's primaries) as the suffix says, whole or not at all.

    .exr (half the size of the others, lossless, with the comment; needs the extra "exr") and .tif keep every value;
    .hdr keeps 8 bits of mantissa and no negative light. Raises CaptureError for another suffix, a missing package or an
    unwritable place.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in RADIANCE_SUFFIXES:
        known = ", ".join(sorted(RADIANCE_SUFFIXES))
        raise CaptureError(f"cannot write {path}: '{path.suffix}' names no format of linear light: use one of {known}")
    if suffix == ".exr":
        write_atomically(path, _exr(path, light, comment))
        return
    settings = [cv2.IMWRITE_TIFF_COMPRESSION, _ADOBE_DEFLATE] if suffix != ".hdr" else []
    encoded, data = cv2.imencode(suffix, np.maximum(light, 0) if suffix == ".hdr" else light, settings)
    if not encoded:
        raise CaptureError(f"cannot write {path}: the {suffix} encoder refused a picture of {light.shape}")
    write_atomically(path, data.tobytes())


def _exr(path: Path, light: NDArray[np.float32], comment: str) -> bytes:
    import tempfile

    try:
        import OpenEXR
    except ImportError:
        raise CaptureError(f"{path}: OpenEXR needs a package more: pip install 'livemef[exr]'; or write .hdr") from None
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage, "comments": comment}
    rgb = np.ascontiguousarray(light[..., ::-1])
    with tempfile.TemporaryDirectory() as folder:  # the package writes to named files only
        written = Path(folder) / "light.exr"
        OpenEXR.File(header, {"RGB": rgb}).write(str(written))
        return written.read_bytes()
