"""`livemef shoot` as a person uses it, on the simulated camera."""

import json
import subprocess
import sys
from pathlib import Path

import bagit
import numpy as np
import pytest

from livemef.calibration.quality.chart import measure_chart
from livemef.capture.files.image_io import read_picture
from livemef.capture.srgb import decode
from livemef.tools.cli import main
from tests.tools.command import ROOT

CAMERA = "sim://?scene=chart&bits=16&motion=0&size=640x480&pace=fast"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a session that was worked in: two objects, one retake, and what was refused."""
    folder = tmp_path_factory.mktemp("field") / "museum"
    assert main(["shoot", "new", str(folder)]) == 0
    text = (folder / "project.toml").read_text()
    text = text.replace('camera = "sim://"', f'camera = "{CAMERA}"').replace("frames = 8", "frames = 2")
    (folder / "project.toml").write_text(text)
    lines = "KR-1\nKR-1\n:n 파란 표지\nKR 2\n:r\nKR-1\n../etc\n:x\n"
    command = [sys.executable, "-m", "livemef", "shoot", "open", str(folder), "--operator", "김", "--json"]
    done = subprocess.run(command, input=lines, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    (folder / "events.json").write_text(json.dumps([json.loads(line) for line in done.stdout.splitlines()]))
    return folder


def objects(project: Path) -> Path:
    (found,) = project.glob("*/objects")
    return found


def test_what_happened_is_said(project: Path) -> None:
    events = json.loads((project / "events.json").read_text())
    assert [event["event"] for event in events] == [
        "open",
        "stored",
        "refused",
        "stored",
        "stored",
        "refused",
        "refused",
        "closed",
    ]
    assert events[-1]["objects"] == 3


def test_every_object_is_a_valid_bag_with_three_kinds_of_picture(project: Path) -> None:
    names = sorted(path.name for path in objects(project).iterdir())
    assert names == ["KR-1", "KR-1.r2", "KR_2"]
    for name in names:
        place = objects(project) / name
        assert bagit.Bag(str(place)).is_valid()
        kinds = {path.relative_to(place / "data").parts[0] for path in (place / "data").rglob("*.tif")}
        assert kinds == {"source", "master", "access"}
    sidecar = json.loads((objects(project) / "KR_2" / "data" / "KR_2.json").read_text())
    assert sidecar["object"] == "KR 2"
    assert sidecar["note"] == "파란 표지"
    assert len(sidecar["frames_merged"]) == 4
    for files in sidecar["files"].values():
        for file in [files] if isinstance(files, str) else files:
            assert (objects(project) / "KR_2" / "data" / file).is_file()


def test_the_master_is_the_chart(project: Path) -> None:
    path = objects(project) / "KR-1" / "data" / "master" / "KR-1_merged.tif"
    pixels = read_picture(path)  # through the file's own profile
    assert pixels.dtype == np.uint16
    light = decode(pixels / 65535.0)
    corners = chart_corners(light)
    white = np.median(light[patch(corners, 18)].reshape(-1, 3), axis=0)[1]
    quality = measure_chart(light * (0.881 / white), corners)
    differences = np.array(quality.de00)
    assert np.delete(differences, 17).mean() < 0.3  # cyan lies outside this camera's sRGB codes
    assert np.delete(differences, 17).max() < 1
    assert np.ptp(quality.tone_dl) < 0.6


def chart_corners(light):
    from livemef.calibration.colour_chart import find_charts

    candidates = [np.roll(found, turn, axis=0) for found in find_charts(np.clip(light, 0, 1)) for turn in range(4)]

    def brightness(corners) -> float:
        patches = [np.median(light[patch(corners, number)]) for number in range(18, 24)]
        return -1.0 if np.any(np.diff(patches) >= 0) else float(patches[0] / patches[-1])

    best = max(candidates, key=brightness)
    return [(float(x), float(y)) for x, y in best]


def patch(corners, number: int) -> tuple[slice, slice]:
    from livemef.calibration.colour_chart import patch_corners

    outline = patch_corners(np.array(corners), 0.4)[number]
    (left, top), (right, bottom) = outline.min(axis=0).astype(int), outline.max(axis=0).astype(int)
    return slice(max(top, 0), max(bottom, 1)), slice(max(left, 0), max(right, 1))


def test_status_and_verify(project: Path, capsys) -> None:
    assert main(["shoot", "status", str(project), "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert (row["objects"], row["state"]) == (3, "closed")
    assert main(["shoot", "verify", str(project)]) == 0
    assert "3 bags valid" in capsys.readouterr().out
    victim = objects(project) / "KR_2" / "data" / "KR_2.json"
    before = victim.read_bytes()
    victim.write_bytes(before.replace(b'"version": 1', b'"version": 2'))
    assert main(["shoot", "verify", str(project)]) == 2
    assert "KR_2.json" in capsys.readouterr().out
    victim.write_bytes(before)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["new", "."], "there already"),
        (["new", "nowhere/x"], "make it first"),
        (["open", "nowhere"], "is no project"),
        (["status", "nowhere"], "is no project"),
        (["verify", "nowhere"], "is no project"),
    ],
)
def test_wrong_places_are_one_line(arguments: list[str], says: str, capsys) -> None:
    assert main(["shoot", *arguments]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert says in lines[0]
