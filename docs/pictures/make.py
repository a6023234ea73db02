"""Makes livemef.jpg: the simulated camera's two exposures and what the live fusion makes of them."""

from pathlib import Path

import cv2
import numpy as np

from livemef.capture.cameras.registry import open_camera
from livemef.capture.session import CaptureSession
from livemef.fusion.open_fuser import open_fuser


def main() -> None:
    """Write the picture beside this file."""
    camera = open_camera("sim://?pace=stepped")
    session = CaptureSession(camera)
    camera.start()
    newest: dict[int, np.ndarray] = {}
    for _ in range(60):
        frame = session.next_frame(5.0)
        if frame is not None and frame.record.index is not None:
            newest[frame.record.index] = frame.pixels.copy()
    camera.close()
    fused = open_fuser().fuse([newest[0], newest[1]]).pixels
    small = [cv2.resize(newest[index], (426, 240), interpolation=cv2.INTER_AREA) for index in (0, 1)]
    large = cv2.resize(fused, (853, 480), interpolation=cv2.INTER_AREA)
    picture = np.hstack([np.vstack(small), large])
    cv2.imwrite(str(Path(__file__).with_name("livemef.jpg")), picture, [cv2.IMWRITE_JPEG_QUALITY, 88])


if __name__ == "__main__":
    main()
