"""`livemef calibrate`: every verb writes its section and its picture, and refuses what cannot be in one line."""

import json
from pathlib import Path

import cv2
import pytest

from livemef.calibration.profile import load_profile
from tests.chart_finder import needs_chart_finder
from tests.tools.command import assert_one_line, livemef

MODE = "size=320x240&pace=fast&seed=4&fps=6&response=curve&bits=16&vignetting=0.4&hot=20&crosstalk=0.2"


def calibrate(folder: Path, *arguments: object) -> dict:
    done = livemef("calibrate", *arguments, "-o", folder / "camera.toml", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    return json.loads(done.stdout)


@needs_chart_finder
@pytest.mark.full
def test_the_verbs_build_up_one_profile(tmp_path: Path) -> None:
    chart, flat, dark = (f"sim://?scene={scene}&{MODE}" for scene in ("chart", "flat", "dark"))
    results = {
        "delay": calibrate(tmp_path, "delay", "--camera", flat),
        "response": calibrate(tmp_path, "response", "--camera", chart),
        "noise": calibrate(tmp_path, "noise", "--camera", flat),
        "flat": calibrate(tmp_path, "flat", "--camera", flat, "--dark", dark),
        "colour": calibrate(tmp_path, "colour", "--camera", chart),
    }
    assert results["delay"]["exposure_delay"] == 2
    assert results["response"]["residual"] < 0.01
    assert results["noise"]["full_well_e"] == pytest.approx([10000] * 3, rel=0.1)
    assert results["flat"]["lowest"] == pytest.approx(0.6, abs=0.01)
    assert len(results["flat"]["hot_pixels"]) > 5
    assert results["colour"]["de00_mean"] < 1
    profile = load_profile(tmp_path / "camera.toml")
    for name, result in results.items():
        assert getattr(profile, name).date == result["date"]
        assert cv2.imread(result["picture"]).std() > 5
    run = ["run", "--no-preview", "--frames", 2, "--publish", f"pub+bind:ipc://{tmp_path}/s", "--camera", chart]
    done = livemef(*run, "--profile", tmp_path / "camera.toml")
    assert done.returncode == 0, done.stderr


@pytest.mark.full
def test_geometry_and_registration(tmp_path: Path) -> None:
    board = "sim://?scene=board&size=640x480&pace=fast"
    assert calibrate(tmp_path, "geometry", "--camera", board)["rms_px"] < 0.3
    second = calibrate(tmp_path, "geometry", "--camera", board, "--second", f"{board}&roll=2&seed=2")
    assert second["second"] == "simulated camera 2, 640x480, uint8"
    profile = load_profile(tmp_path / "camera.toml")
    assert profile.geometry is not None
    assert profile.registration is not None
    printed = livemef("calibrate", "geometry", "--print-board", tmp_path / "board.png")
    assert (printed.returncode, printed.stderr) == (0, "")
    assert cv2.imread(str(tmp_path / "board.png")) is not None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["response", "--camera", "/nowhere"], ["/nowhere"]),
        (["response", "--camera", "file:///nowhere"], ["/nowhere"]),
        (["noise", "--camera", "simm://"], ["simm"]),
        (["flat", "--camera", "sim://?scene=dark&size=96x64&pace=fast"], ["too dark"]),
        (["colour", "--camera", "sim://?scene=flat&size=96x64&pace=fast"], ["--corners"]),
        (["colour", "--corners", "1,2,3"], ["--corners 1,2,3", "eight numbers"]),
        (["geometry", "--board", "2x2"], ["--board 2x2", "3x3"]),
        (["noise", "--frames", "1"], ["frames"]),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, arguments: list[str], words: list[str]) -> None:
    assert_one_line(livemef("calibrate", *arguments, cwd=tmp_path), *words)
    assert not list(tmp_path.iterdir())
