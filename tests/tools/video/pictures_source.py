"""A stream of one picture, for what sends pictures on."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import numpy.typing as npt

from livemef.fusion.stream.publisher import Publisher
from tests.fusion.stream.stream_samples import header

WIDTH, HEIGHT = 162, 121
LEFT, RIGHT = (40, 80, 200), (200, 120, 30)
"""BGR of the halves of the picture."""


def picture(width: int = WIDTH, height: int = HEIGHT, dtype: Any = np.uint8) -> npt.NDArray[Any]:
    made = np.empty((height, width, 3), dtype)
    made[:, : width // 2], made[:, width // 2 :] = LEFT, RIGHT
    return made * 257 if dtype == np.uint16 else made


class Source(threading.Thread):
    """Publishes `self.picture` every 20 ms at `place` as `fused` until the end of the context."""

    def __init__(self, place: str, pixels: npt.NDArray[Any] | None = None) -> None:
        super().__init__(daemon=True)
        self.picture = picture() if pixels is None else pixels
        self._place, self._over = place, threading.Event()

    def run(self) -> None:
        with Publisher(f"pub+bind:{self._place}") as publisher:
            seq = 0
            while not self._over.wait(0.02):
                seq += publisher.publish("fused", header(seq, timestamp_wall_ns=time.time_ns()), self.picture)

    def __enter__(self) -> Source:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()
