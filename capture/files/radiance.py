"""Pictures of linear light on disk: Radiance HDR, OpenEXR, and TIFF of 32-bit floats."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.capture.errors import CaptureError
from livemef.capture.files.image_io import write_atomically

RADIANCE_SUFFIXES = frozenset({".exr", ".hdr", ".tif", ".tiff"})


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
    settings = [cv2.IMWRITE_TIFF_COMPRESSION, cv2.IMWRITE_TIFF_COMPRESSION_ADOBE_DEFLATE] if suffix != ".hdr" else []
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
