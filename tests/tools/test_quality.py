"""`livemef quality` on pictures in files."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from livemef.calibration.colour_chart import reference_bgr
from livemef.fusion.method.colour import encode, to_codes
from livemef.tools.cli import main
from tests.calibration.quality.test_chart import CORNERS, chart
from tests.calibration.quality.test_edge import edge

PLACES = ",".join(f"{value:g}" for value in CORNERS.ravel())


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    light = chart(np.clip(reference_bgr(), 0, 1))
    light[:100, :50] = edge(0.6, 5, height=100, width=50)[..., None]
    path = tmp_path / "chart.png"
    cv2.imwrite(str(path), to_codes(encode(light), np.dtype("uint16")))
    return path


def test_it_measures_and_draws(picture: Path, tmp_path: Path, capsys) -> None:
    drawing = tmp_path / "drawn.png"
    arguments = ["quality", str(picture), "--corners", PLACES, "--edge", "0,0,50,100", "--draw", str(drawing)]
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["measured"]["colour_mean"] < 0.3  # cyan lies outside sRGB
    assert found["edge"]["sampling_efficiency"] > 0.8
    assert cv2.imread(str(drawing)).shape[:2] == (480, 640)
    assert main([*arguments, "--level", "iso-19264-1/A"]) == 0
    assert "iso-19264-1/A" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--corners", "1,2,3"], "8 numbers"),
        (["--corners", PLACES, "--edge", "0,0,9000,10"], "outside the picture"),
        (["--corners", PLACES, "--level", "best"], "not known"),
        (["--corners", PLACES, "--levels", "nowhere.toml"], "nowhere.toml"),
    ],
)
def test_wrong_arguments_are_one_line(picture: Path, capsys, arguments: list[str], says: str) -> None:
    assert main(["quality", str(picture), *arguments]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert says in lines[0]
