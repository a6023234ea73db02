"""The response of cameras drawn at random, against the curve that the simulated sensor really has."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from livemef.calibration.errors import CalibrationError
from livemef.calibration.response import draw as draw_response
from livemef.calibration.response import measure_response
from livemef.calibration.source import CameraShots, open_shots
from livemef.capture.cameras.simulation.sensor import SensorModel, encoded
from tests.calibration.random_cameras import CAMERAS, draw

TELLING = {"scene": "chart", "fps": 6, "size": "320x240"}
"""A still scene of many tones, and exposures long enough to reach white."""


def true_light(model: SensorModel, codes: np.ndarray) -> np.ndarray:
    if model.response == "linear":
        values = codes * (2**model.bits - 1)
        return np.clip((values - model.black_code) / (model.white_code - model.black_code), 0, 1)
    light = np.linspace(0, 1, 200_001)
    return np.interp(codes, encoded(model, light), light)


@pytest.mark.parametrize("number", CAMERAS)
def test_curve_and_exposure_ratios_of_a_random_camera(number: int) -> None:
    kind = (("curve", 8), ("curve", 16), ("linear", 16))[number % 3]
    drawn = draw(number)
    camera = drawn.open(response=kind[0], bits=kind[1], **TELLING)
    model = camera._sensor.model
    section, _ = measure_response(CameraShots(camera).sweep(8))
    codes = np.linspace(0, 1, len(section.light[0]))
    within = codes <= model.white_code / (2**model.bits - 1)
    for channel in section.light:
        difference = (np.array(channel) - true_light(model, codes))[within]
        assert np.sqrt(np.mean(difference**2)) < 0.01
    nominal, _, found = np.array(section.exposures).T
    true = (nominal + drawn.offset_us) / (nominal[-1] + drawn.offset_us)
    bright_enough = nominal >= 1000
    assert np.count_nonzero(bright_enough) >= 10
    np.testing.assert_allclose(found[bright_enough], true[bright_enough], rtol=0.01)
    if kind[0] == "linear":
        assert section.black_level == pytest.approx(model.black_code / 65535, abs=0.001)
    assert draw_response(section).std() > 10


def test_a_scene_too_dark_for_the_curve_is_refused() -> None:
    with pytest.raises(CalibrationError, match=r"reaches to \d+% of the range"):
        measure_response(open_shots("sim://?scene=chart&size=96x64&exposure=10us..2ms&pace=fast").sweep(4))


def test_a_folder_of_exposures_gives_the_curve_too(tmp_path: Path) -> None:
    drawn = draw(7)
    camera = drawn.open(response="curve", bits=8, offset_us=0, **TELLING)
    for number, stack in enumerate(CameraShots(camera).sweep(2)):
        if number % 4 == 0:
            exif = Image.Exif()
            exif.get_ifd(0x8769)[0x829A] = IFDRational(round(stack.exposure.exposure_us), 1_000_000)
            Image.fromarray(cv2.cvtColor(stack.first, cv2.COLOR_BGR2RGB)).save(
                tmp_path / f"{number:02}.jpg", exif=exif, quality=100
            )
    section, _ = measure_response(open_shots(str(tmp_path)).sweep(1))
    difference = np.array(section.light) - true_light(camera._sensor.model, np.linspace(0, 1, len(section.light[0])))
    assert np.sqrt(np.mean(difference**2)) < 0.02
    for file in sorted(tmp_path.iterdir())[1:]:
        file.unlink()
    with pytest.raises(CalibrationError, match="two exposures or more"):
        measure_response(open_shots(str(tmp_path)).sweep(1))
