"""The ColorChecker of random cameras: detected, measured, and corrected to a barely visible difference."""

import cv2
import numpy as np
import pytest

from livemef.calibration.colour_chart import CHART_LAB_D50, find_charts, measure_colour, reference_bgr
from livemef.calibration.colour_chart import draw as draw_colour
from livemef.calibration.errors import CalibrationError
from livemef.calibration.flat_field import measure_flat
from livemef.calibration.response import measure_response
from livemef.calibration.source import CameraShots, open_shots
from livemef.capture.cameras.simulation.targets import CHART_LINEAR_RGB
from tests.calibration.random_cameras import CAMERAS, draw
from tests.chart_finder import needs_chart_finder


@needs_chart_finder
@pytest.mark.parametrize("number", CAMERAS)
def test_the_chart_of_a_random_camera_comes_out_right(number: int) -> None:
    drawn = draw(number)
    mode = {"response": "curve", "bits": (8, 16)[number % 2], "fps": 6, "size": "320x240"}
    response, _ = measure_response(CameraShots(drawn.open(scene="chart", **mode)).sweep(8))
    flat = measure_flat(CameraShots(drawn.open(scene="flat", **mode)).well_exposed(16), None, response)
    stack = CameraShots(drawn.open(scene="chart", **mode)).well_exposed(16)
    section, chart = measure_colour(stack, response, flat)
    assert section.de00_mean < 1
    assert section.de00_mean <= section.de00_p90 <= section.de00_max == max(section.de00_patches)
    assert draw_colour(section, chart, stack).std() > 10


def test_the_reference_is_the_published_chart() -> None:
    """The simulated chart was made elsewhere from the same publication."""
    np.testing.assert_allclose(reference_bgr()[:, ::-1], CHART_LINEAR_RGB, atol=6e-5)
    assert CHART_LAB_D50[18].tolist() == [95.19, -1.03, 2.93]


@needs_chart_finder
@pytest.mark.parametrize("turn", range(4))
def test_corners_may_be_named_from_any_side(turn: int) -> None:
    stack = open_shots("sim://?scene=chart&size=320x240&pace=fast&bits=16&crosstalk=0.2").well_exposed(8)
    found, chart = measure_colour(stack, None, None)
    named, _ = measure_colour(stack, None, None, [tuple(c) for c in np.roll(chart.corners, turn, axis=0)])
    assert named.de00_mean == pytest.approx(found.de00_mean, abs=1e-6)
    assert found.de00_mean < 0.5


@needs_chart_finder
def test_what_is_no_chart_is_refused() -> None:
    flat = open_shots("sim://?scene=flat&size=320x240&pace=fast").well_exposed(4)
    with pytest.raises(CalibrationError, match="ColorChecker"):
        measure_colour(flat, None, None)
    with pytest.raises(CalibrationError, match="ColorChecker"):
        measure_colour(flat, None, None, [(20, 20), (300, 20), (300, 220), (20, 220)])


def test_a_detector_that_fails_by_an_error_of_its_own_finds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As OpenCV 5.0's does on some pictures of a target sheet."""

    class Failing:
        def process(self, *_: object) -> bool:
            raise cv2.error("(-215:Assertion failed)")

    if not hasattr(cv2, "mcc"):
        pytest.skip("this OpenCV has no chart detector")
    monkeypatch.setattr(cv2.mcc.CCheckerDetector, "create", staticmethod(Failing))
    with pytest.raises(CalibrationError, match="no ColorChecker found"):
        find_charts(np.full((60, 80, 3), 0.5))
