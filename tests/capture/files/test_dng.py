"""Raw frames as DNG, developed by LibRaw and by dcraw: the colours must be those of our own development."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from livemef.calibration.colour_chart import patch_corners
from livemef.calibration.quality.chart import find_chart
from livemef.capture.cameras.base import ask_for_mosaics
from livemef.capture.cameras.raw_development import develop
from livemef.capture.cameras.registry import open_camera
from livemef.capture.errors import CaptureError
from livemef.capture.files.archival_tiff import TiffMetadata
from livemef.capture.files.colour_space import XYZ_FROM_LINEAR_SRGB
from livemef.capture.files.dng import DngCamera, write_dng
from livemef.capture.files.image_io import read_picture
from livemef.capture.frame import Exposure, Frame, Mosaic, Pixels
from livemef.fusion.method.colour import decode, lab_from_linear
from livemef.fusion.metrics.ciede2000 import ciede2000
from tests.chart_finder import needs_chart_finder

METADATA = TiffMetadata("KR-1 source", "livemef 0.1.0", "2026:01:02 03:04:05", "+00:00", "livemef", "simulated camera")
CAMERA = DngCamera("livemef simulated camera", "1")
EXPOSURE_US = 15000.0
MATRIX = np.array([[0.9, 0.1, 0.0], [0.08, 0.87, 0.05], [0.02, 0.1, 0.88]])
MATRIX = MATRIX / MATRIX.sum(axis=1, keepdims=True)


def needs(tool: str) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")


def raw_frame(**options: object) -> Frame:
    """A frame of a chart, with its mosaic."""
    values = "&".join(f"{name}={value}" for name, value in options.items())
    uri = f"sim://?scene=chart&size=640x480&pace=fast&bits=16&full_well=100000&crosstalk=0.05&{values}"
    with closing(open_camera(uri)) as camera:
        assert ask_for_mosaics(camera)
        camera.start()
        for _ in range(5):
            camera.request(Exposure(EXPOSURE_US))
            frame = camera.read(1.0)
    assert frame.mosaic is not None
    return frame


def written(path: Path, mosaic: Mosaic, camera: DngCamera = CAMERA) -> Path:
    write_dng(path, mosaic, camera, replace(METADATA, exposure_us=EXPOSURE_US))
    return path


def patches(picture: Pixels) -> np.ndarray:
    """Linear light of the chart's patches, 24 x 3."""
    light = np.asarray(decode(picture / 65535.0), np.float64)
    found = []
    for outline in patch_corners(find_chart(light), 0.4):
        (left, top), (right, bottom) = outline.min(axis=0).astype(int), outline.max(axis=0).astype(int)
        found.append(light[top:bottom, left:right].reshape(-1, 3).mean(axis=0))
    return np.array(found)


def differences(one: Pixels, other: Pixels) -> np.ndarray:
    first, second = (np.stack(lab_from_linear(patches(picture)), axis=-1) for picture in (one, other))
    return np.asarray(ciede2000(first, second))


def by_dcraw(path: Path) -> Pixels:
    import tifffile

    subprocess.run(
        ["dcraw", "-w", "-W", "-T", "-6", "-g", "2.4", "12.92", "-o", "1", str(path)],
        check=True,
        timeout=60,
        capture_output=True,
    )
    return np.asarray(tifffile.imread(path.with_suffix(".tiff")))[..., ::-1]


def test_frames_have_a_mosaic_only_where_it_was_asked_for() -> None:
    with closing(open_camera("sim://?scene=chart&size=64x48&pace=fast")) as camera:
        camera.start()
        assert camera.read(1.0).mosaic is None
    frame = raw_frame()
    mosaic = frame.mosaic
    assert mosaic is not None
    assert mosaic.values.shape == frame.pixels.shape[:2]
    assert mosaic.order == "RGGB"
    assert mosaic.values.min() < mosaic.black + 60
    assert mosaic.white == 4095


def test_libraw_develops_it_as_we_do(tmp_path: Path) -> None:
    pytest.importorskip("rawpy", reason="rawpy is not installed")
    mosaic = raw_frame().mosaic
    assert mosaic is not None
    read = read_picture(written(tmp_path / "a.dng", mosaic))
    found = differences(read, develop(mosaic))
    assert found.mean() < 0.05
    assert found.max() < 0.25


def test_raw_values_gains_and_exposure_are_read_back(tmp_path: Path) -> None:
    rawpy = pytest.importorskip("rawpy", reason="rawpy is not installed")
    values = np.random.default_rng(1).integers(0, 1024, (40, 64), np.uint16)
    for order in ("RGGB", "BGGR", "GRBG", "GBRG"):
        path = written(tmp_path / f"{order}.dng", Mosaic(values, order, 64, 1023, 2.0, 1.6))
        with rawpy.imread(str(path)) as raw:
            assert np.array_equal(raw.raw_image, values)
            assert set(raw.black_level_per_channel) == {64}
            assert raw.white_level == 1023
            wb = np.array(raw.camera_whitebalance)
            assert wb[[0, 2]] / wb[1] == pytest.approx([2.0, 1.6], rel=1e-3)
            pattern = "".join("RGBG"[number] for number in raw.raw_pattern.ravel())
            assert pattern == order


@needs_chart_finder
def test_dcraw_develops_it_as_we_do(tmp_path: Path) -> None:
    needs("dcraw")
    pytest.importorskip("tifffile", reason="tifffile is not installed")
    mosaic = raw_frame().mosaic
    assert mosaic is not None
    found = differences(by_dcraw(written(tmp_path / "a.dng", mosaic)), develop(mosaic))
    assert found.mean() < 0.05
    assert found.max() < 0.25


def test_a_measured_matrix_goes_into_it(tmp_path: Path) -> None:
    pytest.importorskip("rawpy", reason="rawpy is not installed")
    mosaic = raw_frame().mosaic
    assert mosaic is not None
    read = read_picture(written(tmp_path / "a.dng", mosaic, DngCamera("with matrix", matrix=MATRIX)))
    own = patches(develop(mosaic)) @ MATRIX.T
    wanted, found = (np.stack(lab_from_linear(np.clip(light, 0, 1)), axis=-1) for light in (own, patches(read)))
    assert np.mean(ciede2000(found, wanted)) < 0.05


def test_exiftool_and_exiv2_find_nothing_wrong(tmp_path: Path) -> None:
    needs("exiftool")
    mosaic = raw_frame().mosaic
    assert mosaic is not None
    monochrome = Mosaic(mosaic.values, "", mosaic.black, mosaic.white)
    for name, one in (("bayer", mosaic), ("mono", monochrome)):
        path = written(tmp_path / f"{name}.dng", one)
        judged = subprocess.run(
            ["exiftool", "-validate", "-warning", "-error", "-a", str(path)], capture_output=True, text=True, timeout=60
        )
        assert judged.stdout.split(":")[-1].strip() == "OK", judged.stdout
        shown = subprocess.run(
            ["exiftool", "-s3", "-ExposureTime", "-UniqueCameraModel", "-FileType", str(path)],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert shown.stdout.split("\n")[:3] == ["1/67", CAMERA.name, "DNG"]
        if shutil.which("exiv2"):
            listed = subprocess.run(["exiv2", "-pa", str(path)], capture_output=True, text=True, timeout=60)
            assert "DNGVersion" in listed.stdout
            assert not listed.stderr


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    mosaic = Mosaic(np.zeros((4, 4), np.uint16), "RGGB", 0, 1023)
    written(tmp_path / "a.dng", mosaic)
    with pytest.raises(CaptureError, match=r"a\.dng: File exists"):
        written(tmp_path / "a.dng", mosaic)
    with pytest.raises(CaptureError, match="no 2x2 cell"):
        written(tmp_path / "b.dng", Mosaic(mosaic.values, "CYGM", 0, 1023))


def test_the_matrix_of_srgb_is_the_standards() -> None:
    assert XYZ_FROM_LINEAR_SRGB[1] == pytest.approx([0.2126, 0.7152, 0.0722], abs=1e-4)
