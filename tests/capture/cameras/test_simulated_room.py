from __future__ import annotations

import numpy as np
import pytest

from livemef.capture.cameras.registry import open_camera
from livemef.capture.cameras.simulation.room import room_scene
from livemef.capture.cameras.simulation.scene import margin_of
from livemef.capture.frame import Exposure, Pixels


@pytest.mark.parametrize("size", [(64, 48), (640, 480), (1280, 720), (320, 640), (2560, 1440)])
def test_the_room_spans_more_than_ten_stops_at_any_size(size: tuple[int, int]) -> None:
    room = room_scene(*size, 1.0).radiance
    margin = margin_of(size[0])
    assert room.shape == (size[1] + 2 * margin, size[0] + 2 * margin, 3)
    assert np.isfinite(room).all()
    assert room.min() > 0
    dark, bright = np.percentile(room.mean(axis=2), [0.5, 99.5])
    assert 10.5 < np.log2(bright / dark) < 14


def test_shapes_of_one_width_share_horizon_and_scale() -> None:
    """The sky in the window is at one place below the horizon, 40 % from the top, whatever is cut off."""

    def sky(width: int, height: int) -> tuple[float, float]:
        y, x = np.nonzero(room_scene(width, height, 0.0).radiance[..., 0] > 8.0)
        return float(x.mean()), float(y.mean() - 0.4 * (height + 2 * margin_of(width)))

    assert sky(640, 400) == pytest.approx(sky(640, 360), abs=1.0)


def test_no_single_exposure_holds_the_room_and_the_default_two_do() -> None:
    source = open_camera("sim://?size=320x180&pace=stepped&delay=0&gain_delay=0")
    source.start()

    def picture(exposure: Exposure) -> Pixels:
        source.request(exposure)
        return source.read(5).pixels

    short, long = (picture(exposure) for exposure in source.info.plan)
    middle = picture(Exposure(4000.0))
    blown = {name: float((p.max(axis=2) >= 254).mean()) for name, p in (("s", short), ("m", middle), ("l", long))}
    black = {name: float((p.max(axis=2) <= 12).mean()) for name, p in (("s", short), ("m", middle), ("l", long))}
    assert blown["l"] > 0.05
    assert black["s"] > 0.10
    assert blown["s"] < 0.004
    assert black["l"] < 0.02
    # the exposure between loses both ways
    assert blown["m"] > 4 * blown["s"] + 0.01
    assert black["m"] > 2 * black["l"]


def test_things_move_and_stand_still_with_motion_0() -> None:
    def change(motion: str) -> float:
        source = open_camera(
            f"sim://?size=160x90&pace=stepped&motion={motion}&fps=5&delay=0&gain_delay=0&exposure=10us..16ms"
        )
        source.start()
        source.request(Exposure(16000.0))
        first, *_, last = (source.read(5).pixels.astype(float) for _ in range(10))
        return float((np.abs(last - first).max(axis=2) > 40).mean())

    assert change("0") < 0.002
    assert change("1") > 0.02
