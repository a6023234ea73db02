"""The measured delay is exact for every camera; where it cannot be measured there is an error."""

import json
import random
from pathlib import Path

import cv2
import pytest

from livemef.calibration.delay import draw as draw_delay
from livemef.calibration.delay import measure_delay
from livemef.calibration.errors import CalibrationError
from livemef.calibration.profile import load_profile
from livemef.capture.cameras.registry import open_camera
from tests.calibration.random_cameras import CAMERAS, draw
from tests.tools.command import assert_one_line, livemef


@pytest.mark.parametrize("number", CAMERAS)
def test_the_delay_of_a_random_camera_is_exact(number: int) -> None:
    chance, drawn = random.Random(number), draw(number)
    response = chance.choice(("srgb", "linear", "curve"))
    faults = {"drop": chance.choice((0, 0.02)), "ignore": chance.choice((0, 0.02))}
    scene, metadata = chance.choice(("flat", "chart")), chance.choice(("on", "off"))
    camera = drawn.open(size="96x64", scene=scene, metadata=metadata, response=response, **faults)
    section, trial = measure_delay(camera)
    assert (section.exposure_delay, section.gain_delay) == (drawn.delay, drawn.gain_delay)
    assert section.agreeing == 3
    assert section.separation > 4
    assert draw_delay(section, trial).std() > 10


def test_what_a_camera_cannot_vary_has_no_delay() -> None:
    section, _ = measure_delay(open_camera("sim://?scene=flat&size=96x64&gain=1..1&delay=3&pace=fast"))
    assert (section.exposure_delay, section.gain_delay) == (3, None)


@pytest.mark.parametrize("query", ["scene=dark", "scene=flat&clip=10us&gain=1..1", "scene=flat&delay=10"])
def test_a_camera_without_a_measurable_delay_is_refused(query: str) -> None:
    with pytest.raises(CalibrationError, match=r"do not agree on a delay|does not give the requested exposure"):
        measure_delay(open_camera(f"sim://?size=96x64&pace=fast&{query}"))


def test_the_command_prints_the_delay_and_keeps_it(tmp_path: Path) -> None:
    camera = "sim://?delay=4&size=96x64&scene=flat&pace=fast"
    done = livemef("calibrate", "delay", "--camera", camera, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert (printed["exposure_delay"], printed["gain_delay"]) == (4, 1)
    profile = load_profile(tmp_path / printed["profile"])
    assert (profile.delay.exposure_delay, profile.serial, profile.model) == (4, "1", "simulated camera")
    assert cv2.imread(str(tmp_path / printed["picture"])).shape == (600, 960, 3)
    text = livemef("calibrate", "delay", "--camera", camera, "--profile", tmp_path / printed["profile"])
    assert "exposure delay 4, gain delay 1 frames" in text.stdout


@pytest.mark.full
def test_bad_input_is_one_line(tmp_path: Path) -> None:
    camera = "sim://?size=96x64&scene=flat&pace=fast"
    delay = ["calibrate", "delay"]
    assert_one_line(livemef(*delay, "--camera", tmp_path), str(tmp_path), "a folder cannot be asked")
    assert_one_line(livemef(*delay, "--camera", f"{camera}&stall=1&stall_time=60s"), "no frame within")
    (tmp_path / "p.toml").write_text("nonsense")
    assert_one_line(livemef(*delay, "--camera", camera, "--profile", tmp_path / "p.toml"), "p.toml", "not valid TOML")
    livemef(*delay, "--camera", camera, "--profile", tmp_path / "q.toml")
    other = livemef(*delay, "--camera", f"{camera}&seed=2", "--profile", tmp_path / "q.toml")
    assert_one_line(other, "q.toml", "is of simulated camera 1", "this is simulated camera 2")
    assert_one_line(livemef("calibrate", "deley"), "deley")
