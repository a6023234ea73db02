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
from livemef.tools.field.second_copy import SecondCopy
from tests.chart_finder import needs_chart_finder
from tests.tools.command import ROOT

pytestmark = needs_chart_finder
CAMERA = "sim://?scene=chart&bits=16&motion=0&size=640x480"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a session that was worked in: two objects, one retake, and what was refused."""
    folder = tmp_path_factory.mktemp("field") / "museum"
    assert main(["shoot", "new", str(folder)]) == 0
    text = (folder / "project.toml").read_text()
    text = text.replace('camera = "sim://"', f'camera = "{CAMERA}"').replace("frames = 8", "frames = 2")
    (folder / "project.toml").write_text(text)
    (folder / "second").mkdir()
    text = (folder / "project.toml").read_text().replace('second = ""', f'second = "{folder / "second"}"')
    (folder / "project.toml").write_text(text)
    lines = "KR-0\n:t\nKR-1\nKR-1\n:n 파란 표지\nKR 2\n\n:r\nKR-1\n:r\n\n../etc\n:x\n"
    command = [sys.executable, "-m", "livemef", "shoot", "open", str(folder), "--operator", "김", "--json"]
    command += ["--no-preview"]
    done = subprocess.run(command, input=lines, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    (folder / "events.json").write_text(json.dumps([json.loads(line) for line in done.stdout.splitlines()]))
    return folder


def objects(project: Path) -> Path:
    (found,) = project.glob("*/objects")
    return found


def test_what_happened_is_said(project: Path) -> None:
    events = json.loads((project / "events.json").read_text())
    seen = [event for event in events if event["event"] not in ("copied", "noted", "clock")]
    names = [event["event"] for event in seen]
    stored = ["stored"] * 4
    assert names == ["open", "refused", "target", "stored", "refused", *stored, "refused", "refused", "closed"]
    assert "no target yet" in seen[1]["reason"]
    assert "indicative" in seen[2]["badge"]
    assert events[-1]["objects"] == 5
    assert events[-1]["not_copied"] == 0


def test_the_second_copy_is_the_same_and_in_the_ledger(project: Path) -> None:
    session = objects(project).parent
    for name in ("objects/KR-1", "objects/KR_2", "targets/T0001"):
        copy = project / "second" / session.name / name
        assert bagit.Bag(str(copy)).is_valid()
        assert (copy / "manifest-sha512.txt").read_bytes() == (session / name / "manifest-sha512.txt").read_bytes()
    events = [json.loads(line) for line in (session / "session.jsonl").read_text().splitlines()]
    assert sorted(event["folder"] for event in events if event["event"] == "copied") == [
        "KR-1",
        "KR-1.r2",
        "KR-1.r3",
        "KR_2",
        "KR_2_p0002",
        "T0001",
    ]


def test_the_target_has_its_quality_and_sets_the_scale(project: Path) -> None:
    quality = json.loads((objects(project).parent / "targets" / "T0001" / "data" / "quality.json").read_text())
    assert quality["indicative"] is True
    sidecar = json.loads((objects(project) / "KR-1" / "data" / "KR-1.json").read_text())
    assert sidecar["master"]["scale"] == quality["scale"]


def test_a_second_disk_that_is_not_there_holds_nothing_up(tmp_path: Path) -> None:
    copies = SecondCopy(tmp_path / "nowhere")
    copies.put(tmp_path / "session" / "objects" / "KR-1")
    copies.close(30)
    ((bag, problem),) = copies.outcomes()
    assert bag.name == "KR-1"
    assert "is not there" in problem


def test_every_object_is_a_valid_bag_with_three_kinds_of_picture(project: Path) -> None:
    names = sorted(path.name for path in objects(project).iterdir())
    assert names == ["KR-1", "KR-1.r2", "KR-1.r3", "KR_2", "KR_2_p0002"]
    for name in names:
        place = objects(project) / name
        assert bagit.Bag(str(place)).is_valid()
        files = [path.relative_to(place / "data") for path in (place / "data").rglob("*.*")]
        assert {file.parts[0] for file in files if file.suffix == ".tif"} == {"master", "access"}
        assert {file.parts[0] for file in files if file.suffix == ".dng"} == {"source"}
    sidecar = json.loads((objects(project) / "KR_2" / "data" / "KR_2.json").read_text())
    assert sidecar["object"] == "KR 2"
    assert sidecar["note"] == "파란 표지"
    assert sidecar["clock"]["stepped_s"] == 0
    assert sidecar["checks"]["warnings"] == []
    assert len(sidecar["frames_merged"]) == 4
    for files in sidecar["files"].values():
        for file in [files] if isinstance(files, str) else files:
            assert (objects(project) / "KR_2" / "data" / file).is_file()


def test_the_master_is_the_chart(project: Path) -> None:
    path = objects(project) / "KR-1" / "data" / "master" / "KR-1_merged.tif"
    pixels = read_picture(path)  # through the file's own profile
    assert pixels.dtype == np.uint16
    light = decode(pixels / 65535.0)
    quality = measure_chart(light)  # at its own scale, which the target has set
    differences = np.array(quality.de00)
    assert np.delete(differences, 17).mean() < 0.3  # cyan lies outside this camera's sRGB codes
    assert np.delete(differences, 17).max() < 1
    assert max(map(abs, quality.tone_dl)) < 0.3


def test_status_and_verify(project: Path, capsys) -> None:
    assert main(["shoot", "status", str(project), "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert (row["objects"], row["targets"], row["copied"], row["state"]) == (5, 1, 6, "closed")
    assert main(["shoot", "verify", str(project)]) == 0
    assert "6 bags valid" in capsys.readouterr().out
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
