"""Raw files of cameras, and DNG: developed by LibRaw through rawpy (the extra `raw`)."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from livemef.capture.errors import CaptureError
from livemef.capture.frame import Pixels


def read_raw(data: bytes, max_pixels: int) -> Pixels:
    """Developed as sRGB, BGR uint16, upright, with the camera's white balance; brightness as exposed.

    LibRaw's two automatics are off: it would brighten each picture by its own histogram and scale it by its own
    brightest pixel, so that the exposures of a bracket would come out alike. Raises CaptureError, in a few words.
    """
    try:
        import rawpy
    except ImportError:
        raise CaptureError(
            "is a camera's raw file: pip install 'livemef[raw]' to read it, or develop it to 16-bit TIFF or PNG"
        ) from None
    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            sizes = raw.sizes
            if sizes.width * sizes.height > max_pixels:
                raise CaptureError(f"is {sizes.width}x{sizes.height}: more than {max_pixels / 1e6:g} megapixels")
            developed: Any = raw.postprocess(
                output_bps=16,
                use_camera_wb=True,
                no_auto_bright=True,
                adjust_maximum_thr=0.0,
                output_color=rawpy.ColorSpace.sRGB,
                gamma=(2.4, 12.92),
            )
    except rawpy.LibRawError as error:
        detail = error.args[0].decode("utf-8", "replace") if error.args and isinstance(error.args[0], bytes) else error
        raise CaptureError(f"is no raw file that LibRaw can read ({detail})") from None
    return np.ascontiguousarray(developed[..., ::-1])
