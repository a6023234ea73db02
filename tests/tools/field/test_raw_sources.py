"""Sources of a real session as raw files: what other programs read in them, and that the master is made of them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import bagit
import cv2
import numpy as np
import pytest
from PIL import Image

from livemef.calibration.quality.chart import find_chart, patch_pixels
from livemef.capture.cameras.raw_development import develop
from livemef.capture.files.image_io import read_picture
from livemef.capture.frame import Mosaic
from livemef.fusion.method.colour import decode, lab_from_linear
from livemef.fusion.metrics.ciede2000 import ciede2000
from livemef.fusion.mosaic_merge import MosaicMerge
from livemef.tools.cli import main
from livemef.tools.field.products import master_codes
from tests.tools.field.session_rig import CAMERA, Session, corners, make_project

QUIET = "&full_well=100000&read_noise=40"
EXPOSURES_US = (1000.0, 5000.0, 25000.0)


def taken_object(project: Path) -> Path:
    """The payload of an object taken in a session of its own."""
    session = Session(project, "--operator", "김")
    assert session.opened["sources"] == (
        "raw" if "raw = true" in (project / "project.toml").read_text() else "developed"
    )
    try:
        assert session.call("POST", "session/take", {"id": "KR-1"})[0] in (200, 202)
        session.until(lambda state: state["objects"] == 1 and not state["doing"])
    finally:
        session.close()
    return session.folder / "objects" / "KR-1" / "data"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an object merged from one frame of each exposure, all of which are kept."""
    folder = tmp_path_factory.mktemp("field") / "museum"
    return taken_object(make_project(folder, CAMERA + QUIET, frames=1, before_first=False))


def project_of(data: Path) -> Path:
    return data.parents[3]


def sidecar_of(data: Path) -> dict:
    return json.loads((data / "KR-1.json").read_text())


def mosaics(data: Path) -> list[Mosaic]:
    """The sources as LibRaw reads them."""
    rawpy = pytest.importorskip("rawpy", reason="rawpy is not installed")
    found = []
    for name in sidecar_of(data)["files"]["source"]:
        with rawpy.imread(str(data / name)) as raw:
            assert set(raw.black_level_per_channel) == {64}
            order = "".join("RGBG"[number] for number in raw.raw_pattern.ravel())
            found.append(Mosaic(raw.raw_image.copy(), order, 64, raw.white_level))
    return found


def patches(picture: np.ndarray) -> np.ndarray:
    """Lab of the mean light of the chart's patches, 24 x 3."""
    light = np.asarray(decode(picture / 65535.0))
    places = list(zip(corners()[::2], corners()[1::2], strict=True))
    means = [patch.reshape(-1, 3).mean(axis=0) for patch in patch_pixels(light, find_chart(light, places))]
    return np.stack(lab_from_linear(np.array(means)), axis=-1)


def test_sources_are_raw_and_the_record_says_so(data: Path) -> None:
    sidecar = sidecar_of(data)
    assert sidecar["source_kind"] == "raw"
    assert sidecar["files"]["source"] == [f"source/KR-1_b01_e{number}.dng" for number in (1, 2, 3)]
    assert sorted(path.name for path in (data / "source").iterdir()) == [f"KR-1_b01_e{n}.dng" for n in (1, 2, 3)]
    assert bagit.Bag(str(data.parent)).is_valid()
    settings = (project_of(data) / data.parents[2].name / "session.toml").read_text()
    assert 'sources = "raw"' in settings
    with Image.open(data / "access" / "KR-1_fused.jpg") as picture:
        assert b"sRGB" in picture.info["icc_profile"]


def test_the_master_is_the_merge_of_the_very_values_in_the_files(data: Path) -> None:
    merge = MosaicMerge(EXPOSURES_US)
    for index, mosaic in enumerate(mosaics(data)):
        assert (mosaic.order, mosaic.white) == ("RGGB", 4095)
        merge.add(index, mosaic)
    master = cv2.imread(str(data / "master" / "KR-1_merged.tif"), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(master, master_codes(merge.result().light))


def test_noise_lies_on_both_sides_of_black(data: Path) -> None:
    darkest = mosaics(data)[0]
    assert np.count_nonzero(darkest.values < darkest.black) > 50


def test_libraw_and_dcraw_develop_them_as_we_do(data: Path, tmp_path: Path) -> None:
    name = sidecar_of(data)["files"]["source"][1]
    ours = develop(mosaics(data)[1])
    others = {"LibRaw": read_picture(data / name)}
    if shutil.which("dcraw"):
        shutil.copyfile(data / name, tmp_path / "a.dng")
        options = ["-w", "-W", "-T", "-6", "-g", "2.4", "12.92", "-o", "1"]
        subprocess.run(["dcraw", *options, "a.dng"], check=True, timeout=60, cwd=tmp_path)
        others["dcraw"] = cv2.imread(str(tmp_path / "a.tiff"), cv2.IMREAD_UNCHANGED)
    for who, theirs in others.items():
        difference = ciede2000(patches(ours), patches(theirs))
        assert difference.mean() < 0.05, who
        assert difference.max() < 0.25, who


def test_exiftool_finds_nothing_wrong_in_any_file_and_reads_what_is_known(data: Path) -> None:
    if shutil.which("exiftool") is None:
        pytest.skip("exiftool is not installed")
    files = [path for path in sorted(data.rglob("*")) if path.suffix in (".dng", ".tif")]
    assert len(files) == 5
    for file in files:
        command = ["exiftool", "-validate", "-warning", "-error", "-a", str(file)]
        judged = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert judged.stdout.split(":")[-1].strip() == "OK", (file.name, judged.stdout)
    sources = [data / name for name in sidecar_of(data)["files"]["source"]]
    tags = [
        "FileType",
        "ExposureTime",
        "UniqueCameraModel",
        "CameraSerialNumber",
        "Identifier",
        "Creator",
        "DigitalSourceType",
    ]
    shown = subprocess.run(
        ["exiftool", "-json", "-n", *(f"-{tag}" for tag in tags), *map(str, sources)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    for exposure_us, found in zip(EXPOSURES_US, json.loads(shown.stdout), strict=True):
        assert found["FileType"] == "DNG"
        assert found["ExposureTime"] == pytest.approx(exposure_us / 1e6)
        assert (found["UniqueCameraModel"], found["Identifier"]) == ("simulated camera", "KR-1")
        assert found["Creator"] == "김"
        assert found["DigitalSourceType"].endswith("/digitalCapture")


def test_they_are_verified_exported_delivered_and_imported_again(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rawpy", reason="rawpy is not installed")
    project = project_of(data)
    assert main(["shoot", "verify", str(project)]) == 0
    assert main(["shoot", "export", str(project), "-o", str(tmp_path / "web")]) == 0
    assert (tmp_path / "web" / "KR-1.jpg").is_file()
    assert main(["shoot", "deliver", str(project), "-o", str(tmp_path / "deposit")]) == 0
    (delivered,) = (tmp_path / "deposit").glob("museum/data/*/objects/KR-1")
    sources = sorted((delivered / "data" / "source").iterdir())
    again = tmp_path / "again"
    assert main(["shoot", "new", str(again)]) == 0
    assert main(["shoot", "import", str(again), "KR-1", *map(str, sources)]) == 0, capsys.readouterr().err
    (bag,) = again.glob("*/objects/KR-1")
    assert bagit.Bag(str(bag)).is_valid()
    for source in sources:
        assert (bag / "data" / "source" / source.name).read_bytes() == source.read_bytes()
    assert sidecar_of(bag / "data")["exposures"] == ["1 ms", "5 ms", "25 ms"]
    first, second = (read_picture(place / "master" / "KR-1_merged.tif") for place in (data, bag / "data"))
    assert np.median(np.abs(first.astype(int) - second)) < 0.002 * 65535
    victim = sources[0]
    victim.write_bytes(victim.read_bytes()[:-1] + b"\xff")
    assert main(["shoot", "deliver", str(project), "-o", str(tmp_path / "deposit")]) == 2
    assert victim.name in capsys.readouterr().out


@pytest.mark.full
def test_raw_can_be_switched_off(tmp_path: Path) -> None:
    found = taken_object(make_project(tmp_path / "museum", frames=1, before_first=False, raw=False))
    sidecar = sidecar_of(found)
    assert sidecar["source_kind"] == "developed"
    assert sidecar["files"]["source"] == [f"source/KR-1_b01_e{number}.tif" for number in (1, 2, 3)]
    assert not list(found.rglob("*.dng"))
