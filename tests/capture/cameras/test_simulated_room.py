from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from livemef.capture.cameras.registry import open_camera
from livemef.capture.cameras.simulation.furniture import BEHIND, WINDOW
from livemef.capture.cameras.simulation.raycast import NOTHING, Box, Cylinder, Ellipsoid, Solid
from livemef.capture.cameras.simulation.room import room_scene
from livemef.capture.cameras.simulation.tracing import trace_room
from livemef.capture.frame import Exposure, Pixels


@pytest.fixture(scope="module")
def room() -> NDArray[np.float32]:
    return trace_room(112, 192)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "livemef"


def test_the_room_spans_ten_stops_and_is_well_formed(room: NDArray[np.float32]) -> None:
    assert np.isfinite(room).all()
    assert room.min() >= 0
    dark, bright = np.percentile(room.mean(axis=2), [1, 99])
    assert 10 < np.log2(bright / dark) < 14


def test_no_single_exposure_holds_the_room_and_the_default_two_do(cache: Path) -> None:
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


def test_the_room_comes_from_the_cache_the_second_time_and_is_the_same(cache: Path) -> None:
    first = room_scene(64, 48, 1.0).radiance
    kept = list(cache.iterdir())
    assert len(kept) == 1
    touched = kept[0].stat().st_mtime_ns
    assert np.array_equal(room_scene(64, 48, 1.0).radiance, first)
    assert kept[0].stat().st_mtime_ns == touched
    kept[0].write_bytes(kept[0].read_bytes()[:100])
    assert np.array_equal(room_scene(64, 48, 1.0).radiance, first)


def test_an_unwritable_cache_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert room_scene(64, 48, 1.0).radiance.max() > 1


def test_things_move_and_stand_still_when_told_to(cache: Path) -> None:
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


def test_the_window_is_where_the_walls_open(room: NDArray[np.float32]) -> None:
    height, width, _ = room.shape
    focal = width / 2 / 0.60
    depth = BEHIND + 0.2 - (-1.15)
    x = ((WINDOW[0] * 0.7 + WINDOW[1] * 0.3) + 0.25) / depth * focal + width / 2
    y = height * 0.40 - ((WINDOW[2] * 0.2 + WINDOW[3] * 0.8) - 1.42) / depth * focal
    assert room[round(y), round(x)].mean() > 5
    assert room[round(y), round(x) - width // 5].mean() < 1


@pytest.mark.parametrize(
    "solid",
    [Box((-1, -1, 4), (1, 1, 6)), Ellipsoid((0.2, 0.1, 5.0), (1.0, 0.6, 0.8)), Cylinder((0.0, -1.0, 5.0), 0.8, 1.6)],
)
def test_rays_meet_solids_on_their_surface(solid: Solid) -> None:
    random = np.random.default_rng(2)
    direction = np.stack([*random.uniform(-0.4, 0.4, (2, 3000)), np.ones(3000)]).astype(np.float32)
    origin = np.broadcast_to(np.array([[0.1], [0.9], [0.0]], np.float32), direction.shape)
    distance = solid.distance(origin, direction)
    met = distance < NOTHING
    assert 50 < met.sum() < 2950
    point = (origin + direction * np.where(met, distance, 0))[:, met]
    normal = solid.normal(point)
    assert (normal**2).sum(axis=0) == pytest.approx(1, abs=1e-3)
    assert ((normal * direction[:, met]).sum(axis=0) <= 1e-4).all()
    low, high = (np.array(corner)[:, None] for corner in solid.bounds)
    assert ((point > low - 1e-3) & (point < high + 1e-3)).all()
    # a little inside, and a little outside, along the normal
    inside, outside = (solid.distance(point + normal * side, -normal) for side in (-0.01, 0.01))
    assert (inside == NOTHING).all()
    assert outside == pytest.approx(0.01, abs=2e-3)
