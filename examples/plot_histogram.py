"""Plot how a bracket and its fusion fill the range of luma: python plot_histogram.py out.png [CAMERA]."""

import sys

import cv2
import numpy as np

import livemef

COLOURS = {"under": (200, 80, 0), "over": (0, 120, 230), "fused": (40, 40, 40)}


def curve(picture: np.ndarray) -> np.ndarray:
    """Points of the histogram of luma: 256 columns; height on a logarithmic scale."""
    counts = np.bincount(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY).ravel(), minlength=256)
    heights = np.log10(1 + counts) / np.log10(picture.shape[0] * picture.shape[1])
    return np.stack([20 + 3 * np.arange(256), 380 - 350 * heights], axis=1).astype(np.int32)


def main(output: str, uri: str = "sim://") -> None:
    """What lies at the ends of under and over is clipped or dark there; the fused picture holds both."""
    with livemef.open_camera(uri) as camera, livemef.open_fuser() as fuser:
        camera.settle()
        bracket = next(iter(camera.brackets()))
        pictures = (*bracket.pixels, fuser.fuse(bracket).pixels)
    plot = np.full((400, 808, 3), 255, np.uint8)
    for line, (name, colour) in enumerate(COLOURS.items()):
        cv2.polylines(plot, [curve(pictures[line])], False, colour, 2, cv2.LINE_AA)
        cv2.putText(plot, name, (700, 40 + 28 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.7, colour, 2, cv2.LINE_AA)
    livemef.write_picture(output, plot)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(*sys.argv[1:])
