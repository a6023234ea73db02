"""Makes livemef.jpg: the simulated camera's two exposures and what the live fusion makes of them."""

import itertools
from pathlib import Path

import cv2
import numpy as np

import livemef

FRAMES = 60
"""After so many the exposures suit the scene."""


def main() -> None:
    """Write the picture beside this file."""
    with livemef.open_camera("sim://?pace=stepped") as camera, livemef.open_fuser() as fuser:
        *_, bracket = itertools.islice(camera.brackets(), FRAMES)
        fused = fuser.fuse(bracket).pixels
    small = [cv2.resize(pixels, (426, 240), interpolation=cv2.INTER_AREA) for pixels in bracket.pixels]
    large = cv2.resize(fused, (853, 480), interpolation=cv2.INTER_AREA)
    picture = np.hstack([np.vstack(small), large])
    cv2.imwrite(str(Path(__file__).with_name("livemef.jpg")), picture, [cv2.IMWRITE_JPEG_QUALITY, 88])


if __name__ == "__main__":
    main()
