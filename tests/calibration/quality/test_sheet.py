"""A whole target before random simulated cameras, against what was drawn."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from livemef.calibration.colour_chart import CHART_LAB_D50, lab_d50
from livemef.calibration.errors import CalibrationError
from livemef.calibration.quality.chart_corners import on_chart, refined
from livemef.calibration.quality.edge import crossing
from livemef.calibration.quality.levels import shipped_levels
from livemef.calibration.quality.report import report
from livemef.calibration.quality.sheet import SheetQuality, draw_sheet, evenness_of, measure_sheet
from livemef.calibration.quality.targets import find_target, load_targets, shipped_targets
from livemef.capture.cameras.registry import open_camera
from livemef.capture.cameras.simulation.scene import Scene, filtered
from livemef.capture.cameras.simulation.sensor import vignetting_map
from livemef.capture.cameras.simulation.target_sheet import HEIGHT as CHART_HEIGHT
from livemef.capture.cameras.simulation.target_sheet import SIDE_MM, WIDTH, pixels_per_side, target_scene
from livemef.capture.cameras.simulation.targets import CHART_LINEAR_RGB, Lens
from livemef.capture.frame import Exposure
from livemef.fusion.metrics.ciede2000 import ciede2000
from tests.chart_finder import needs_chart_finder
from tests.quick import quick

Light = NDArray[np.float64]
SHEET = find_target(shipped_targets(), "livemef-sheet")
SIZE = 1280, 720
EXPOSURE_US = 16000.0
FRAMES = 6


@dataclass(frozen=True)
class Drawn:
    """A camera of which all is known that quality measures."""

    seed: int
    blur: float
    roll: float
    vignetting: float
    crosstalk: float
    full_well: int
    read_noise: float

    def uri(self) -> str:
        values = "&".join(f"{name}={value}" for name, value in vars(self).items())
        return f"sim://?scene=target&response=linear&bits=16&pace=fast&prnu=0&size={SIZE[0]}x{SIZE[1]}&{values}"


def draw(number: int) -> Drawn:
    chance = random.Random(f"sheet {number}")
    return Drawn(
        seed=number,
        blur=round(chance.uniform(0.4, 1.1), 3),
        roll=round(chance.uniform(-2, 2), 3),
        vignetting=round(chance.uniform(0, 0.3), 3),
        crosstalk=round(chance.uniform(0, 0.3), 3),
        full_well=chance.randint(8000, 40000),
        read_noise=round(chance.uniform(2, 6), 2),
    )


def frames(camera: Drawn) -> list[Light]:
    """Linear light of some frames, 1 = white."""
    opened = open_camera(camera.uri())
    opened.start()
    for _ in range(4):
        opened.request(Exposure(EXPOSURE_US))
        opened.read(1.0)
    shots = [opened.read(1.0) for _ in range(FRAMES)]
    opened.close()
    return [
        (shot.pixels.astype(float) - shot.record.black_level) / (shot.record.white_level - shot.record.black_level)
        for shot in shots
    ]


def true_patches(camera: Drawn) -> Light:
    """Light of the 24 patches, linear BGR, as the camera's filters pass it."""
    patches = np.array(CHART_LINEAR_RGB, np.float32)[:, None, ::-1] * np.float32(0.8)
    return filtered(Scene(patches, None), camera.crosstalk, camera.seed).radiance[:, 0].clip(0).astype(float)  # type: ignore[arg-type]


def true_crossing(sigma: float, level: float) -> float:
    frequencies = np.linspace(0, 1.5, 15001)
    return crossing(frequencies, np.exp(-2 * (math.pi * sigma * frequencies) ** 2) * np.sinc(frequencies), level)


def noise_over_time(shots: list[Light], sheet: SheetQuality) -> list[float]:
    """Standard deviation of L* from frame to frame in the middle of each grey patch."""
    found = []
    for column in range(6):
        x, y = on_chart(np.array(sheet.chart.corners), [(column * 1.15 + 0.5, 3 * 1.15 + 0.5)])[0].round().astype(int)
        lightness = [lab_d50(shot[y - 18 : y + 19, x - 18 : x + 19])[..., 0] for shot in shots]
        found.append(float(np.sqrt(np.var(lightness, axis=0, ddof=1).mean())))
    return found


@pytest.mark.parametrize("number", quick(range(50), 1, full=6))
@needs_chart_finder
def test_random_cameras_are_measured_as_they_are(number: int) -> None:
    camera = draw(number)
    shots = frames(camera)
    uneven = measure_sheet(np.mean(shots, axis=0), SHEET)
    fall_off = vignetting_map(camera.vignetting, *SIZE[::-1]).astype(float)[..., None]
    sheet = measure_sheet(np.mean(shots, axis=0) / fall_off, SHEET)
    wanted = ciede2000(lab_d50(true_patches(camera)), CHART_LAB_D50)
    assert sheet.chart.de00 == pytest.approx(wanted, abs=0.1)
    mtf50 = true_crossing(camera.blur, 0.5)
    assert len(sheet.edges) == 8
    assert np.median([edge.mtf50 for edge in sheet.edges]) == pytest.approx(mtf50, rel=0.03)
    assert [edge.mtf50 for edge in sheet.edges] == pytest.approx([mtf50] * 8, rel=0.05)
    assert sheet.pixels_per_mm == pytest.approx(pixels_per_side(*SIZE) / SIDE_MM, rel=0.001)
    single = measure_sheet(shots[0] / fall_off, SHEET)
    over_time = noise_over_time([shot / fall_off for shot in shots], sheet)
    assert np.mean(single.chart.noise_l) == pytest.approx(np.mean(over_time), rel=0.05)
    assert sheet.evenness is not None
    assert uneven.evenness is not None
    assert sheet.evenness.lightness < 0.01
    assert uneven.evenness.lightness > sheet.evenness.lightness or camera.vignetting < 0.02


def drawn(roll: float = 0.0, blur: float = 0.6) -> Light:
    return target_scene(*SIZE, Lens(0.9, 0.0, 0.0, roll), blur).radiance.astype(float) / 0.8


@needs_chart_finder
@pytest.mark.full
def test_evenness_is_that_of_the_fields() -> None:
    picture = drawn() * np.linspace(1.0, 0.9, SIZE[0] + 2)[None, :, None]
    found = measure_sheet(picture, SHEET).evenness
    assert found is not None
    left, right = (lab_d50(np.full(3, 0.5 * factor))[0] for factor in (1 - 0.1 * 0.054, 1 - 0.1 * 0.974))
    assert found.lightness == pytest.approx((left - right) / left, rel=0.05)
    assert found.chroma < 0.05
    even = np.full((90, 120, 3), 0.4)
    assert evenness_of([even, even]).lightness == 0
    tinted = evenness_of([even, even * (1.0, 1.0, 1.1)])
    assert tinted.chroma > 1
    assert tinted.lightness < 0.02


def test_a_chart_that_was_found_roughly_is_located_exactly() -> None:
    side = pixels_per_side(*SIZE)
    offset = np.array([(SIZE[0] - 1) / 2, (SIZE[1] - 1) / 2]) - np.array([WIDTH / 2, (CHART_HEIGHT + 0.6) / 2]) * side
    corners = np.array([[0, 0], [WIDTH, 0], [WIDTH, CHART_HEIGHT], [0, CHART_HEIGHT]]) * side + offset
    rough = corners + np.array([[-9, -14], [10, -6], [14, 17], [-16, 9.0]])
    assert refined(drawn(), rough) == pytest.approx(corners, abs=0.1)
    nothing = np.full((SIZE[1], SIZE[0], 3), 0.4)
    assert refined(nothing, rough) == pytest.approx(rough)


@needs_chart_finder
@pytest.mark.full
def test_without_marks_the_chart_gives_the_scale() -> None:
    chart_alone = replace(SHEET, marks=None, edges=(), even=())
    found = measure_sheet(drawn(roll=1.0), chart_alone)
    assert found.pixels_per_mm == pytest.approx(pixels_per_side(*SIZE) / SIDE_MM, rel=0.001)
    assert found.edge is None
    assert found.evenness is None


@needs_chart_finder
def test_what_the_sheet_shows_is_in_the_report() -> None:
    sheet = measure_sheet(drawn(), SHEET)
    found = report(sheet.chart, sheet.edge, shipped_levels(), sheet)
    assert len(found["edges"]) == 8
    assert found["pixels_per_mm"] == sheet.pixels_per_mm
    assert found["measured"]["non_uniformity"] == pytest.approx(0, abs=0.002)
    assert sheet.edge is not None
    assert sheet.edge.mtf50 == min(edge.mtf50 for edge in sheet.edges)


@needs_chart_finder
def test_what_was_measured_is_drawn() -> None:
    sheet = measure_sheet(drawn(), SHEET)
    picture = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    shown = draw_sheet(picture, sheet, SHEET)
    assert sheet.marks is not None
    x, y = sheet.marks[0]
    assert tuple(shown[round(y), round(x)]) == (0, 0, 255)
    for colour, boxes in (((0, 200, 255), 8), ((0, 160, 0), 7)):
        outlines, _ = cv2.connectedComponents((shown == colour).all(axis=2).astype(np.uint8))
        assert outlines == boxes + 1


@needs_chart_finder
@pytest.mark.full
def test_an_edge_that_is_not_there_is_named() -> None:
    picture = drawn()
    picture[:, : int(SIZE[0] * 0.13)] = 0.5
    with pytest.raises(CalibrationError, match=r"the target's edge at .* no clear edge"):
        measure_sheet(picture, SHEET)


def test_own_targets_are_read_strictly(tmp_path: Path) -> None:
    path = tmp_path / "targets.toml"
    path.write_text('[[target]]\nname = "ours"\nmarks = [[0, 5], [6, 5]]\npatch_mm = 12.5\n')
    assert load_targets(path)[0].patch_mm == 12.5
    for bad, says in (
        ('[[target]]\nname = "a"\npatch_mm = -1\n', "patch_mm"),
        ('[[target]]\nname = "a"\nedge = []\n', "edge"),
        ("[[target", "TOML"),
        ('[[target]]\nname = "a"\nedges = [[1, 2, 0, 4]]\n', "edges"),
    ):
        path.write_text(bad)
        with pytest.raises(CalibrationError, match=says):
            load_targets(path)
    path.write_text('[[target]]\nname = "ours"\n')
    ours = load_targets(path)
    with pytest.raises(CalibrationError, match="there are ours"):
        find_target(ours, "theirs")
    with pytest.raises(CalibrationError, match="No such file"):
        load_targets(tmp_path / "none.toml")
