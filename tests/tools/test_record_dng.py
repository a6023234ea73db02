"""`livemef record --dng`: the sensor's values beside the pictures."""

import json
from pathlib import Path

import numpy as np
import pytest

from livemef.capture.cameras.raw_development import develop
from livemef.capture.files.recording import Recording
from livemef.capture.frame import Mosaic
from livemef.tools.cli import main

SIM = "sim://?scene=chart&size=64x48&bits=16&pace=fast"


def test_each_frame_has_its_raw_values(tmp_path: Path) -> None:
    rawpy = pytest.importorskip("rawpy", reason="rawpy is not installed")
    folder = tmp_path / "r"
    arguments = ["--exposures", "1ms,8ms", "--brackets", "2", "--dng", "-o", str(folder)]
    assert main(["record", "--camera", SIM, *arguments]) == 0
    lines = [json.loads(line) for line in (folder / "frames.jsonl").read_text().splitlines()]
    assert len(lines) == len(Recording(folder)) >= 3
    for line, frame in zip(lines, Recording(folder), strict=True):
        with rawpy.imread(str(folder / line["raw"])) as raw:
            mosaic = Mosaic(raw.raw_image.copy(), "RGGB", 64, 4095)
        middle = slice(8, -8), slice(8, -8)  # the simulated camera demosaics the edges otherwise
        difference = np.abs(develop(mosaic)[middle].astype(int) - frame.pixels[middle]) / 65535
        assert np.median(difference) < 0.005


def test_a_camera_without_raw_values_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["record", "--camera", SIM, "--exposures", "1ms,8ms", "--brackets", "2", "-o", str(tmp_path / "r")]) == 0
    )
    capsys.readouterr()
    replayed = ["record", "--camera", f"file://{tmp_path / 'r'}", "--dng", "-o", str(tmp_path / "s")]
    assert main(replayed) == 2
    assert "--dng" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()
