"""Random simulated cameras: all true values that calibration should find are drawn from the camera's number."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass

from livemef.capture.cameras.registry import open_camera
from livemef.capture.cameras.simulated import SimulatedCamera
from tests.quick import quick

CAMERAS = quick(range(50), 1, full=10)
"""Their numbers: two of them in every run."""


@dataclass(frozen=True)
class Drawn:
    """The drawn parameters of sim://."""

    seed: int
    delay: int
    gain_delay: int
    full_well: int
    read_noise: float
    row_noise: float
    column_noise: float
    prnu: float
    black: int
    adc: int
    vignetting: float
    hot: int
    gamma: float
    contrast: float
    offset_us: int
    crosstalk: float

    def uri(self, **others: object) -> str:
        """Its URI at pace fast; `others` are added to, or replace, the drawn parameters."""
        values = asdict(self) | {"pace": "fast", "size": "192x144"} | others
        values["offset"] = f"{values.pop('offset_us')}us"
        return "sim://?" + "&".join(f"{name}={value}" for name, value in values.items())

    def open(self, **others: object) -> SimulatedCamera:
        camera = open_camera(self.uri(**others))
        assert isinstance(camera, SimulatedCamera)
        return camera


def draw(number: int) -> Drawn:
    """The camera with this number, the same every time. As in real ones, the converter's steps suit the read noise."""
    chance = random.Random(f"camera {number}")
    full_well = chance.randint(4000, 40000)
    adc = 10 if full_well < 10000 and chance.random() < 0.5 else 12
    return Drawn(
        seed=number + 1,
        delay=chance.randint(0, 9),
        gain_delay=chance.randint(0, 9),
        full_well=full_well,
        read_noise=round(chance.uniform(0.6, 2.5) * full_well / 2**adc, 2),
        row_noise=round(chance.uniform(0.0, 0.2) * full_well / 2**adc, 2),
        column_noise=round(chance.uniform(0.0, 0.2) * full_well / 2**adc, 2),
        prnu=round(chance.uniform(0.0, 0.01), 4),
        black=chance.randint(16, 256),
        adc=adc,
        vignetting=round(chance.uniform(0.0, 0.6), 3),
        hot=chance.randint(0, 30),
        gamma=round(chance.uniform(1.2, 2.8), 2),
        contrast=round(chance.uniform(-0.3, 0.5), 2),
        offset_us=chance.randint(0, 60),
        crosstalk=round(chance.uniform(0.0, 0.35), 2),
    )
