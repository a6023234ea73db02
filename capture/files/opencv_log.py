"""OpenCV's own messages on the standard error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import cv2


@contextmanager
def quiet_opencv() -> Iterator[None]:
    """Keeps OpenCV from printing what fails on stderr as well; the error that is raised says it once."""
    logging = getattr(cv2.utils, "logging", cv2)  # before OpenCV 4.13 these functions are cv2's own
    level = logging.getLogLevel()
    logging.setLogLevel(0)  # silent
    try:
        yield
    finally:
        logging.setLogLevel(level)
