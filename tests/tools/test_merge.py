"""`livemef merge`: what it writes, as other programs read it, and what it refuses."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from livemef.fusion.method.colour import decode, encode, to_codes
from livemef.tools.cli import main
from tests.imagemagick import CONVERT, convert

HEIGHT, WIDTH = 40, 56
TIMES = (0.001, 0.008, 0.064)


@pytest.fixture
def light() -> np.ndarray:
    """Light for the darkest exposure, BGR."""
    rng = np.random.default_rng(1)
    return cv2.resize(0.9 * 2.0 ** rng.uniform(-8, 0, (5, 7, 3)), (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)


@pytest.fixture
def folder(tmp_path: Path, light: np.ndarray) -> Path:
    """Three lossless 8-bit exposures with EXIF, under names that are not in their order."""
    place = tmp_path / "scene"
    place.mkdir()
    for name, seconds in zip(("c", "a", "b"), TIMES, strict=True):
        codes = to_codes(encode(np.clip(light * seconds / TIMES[0], 0, 1)), np.dtype("uint8"))
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0x829A] = IFDRational(round(seconds * 1000), 1000)
        exif.get_ifd(0x8769)[0x8827] = 100
        Image.fromarray(codes[..., ::-1]).save(place / f"{name}.webp", lossless=True, exif=exif)
    return place


def merged(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict:
    assert main(["merge", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(["merge", *map(str, arguments)]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


def close(read: np.ndarray, light: np.ndarray, atol: float = 2e-4) -> None:
    """What was read is the light within 8-bit steps; 1.0 is white of the middle exposure."""
    np.testing.assert_allclose(read / 8, light, rtol=0.1, atol=atol)


def test_tiff_as_opencv_and_tifffile_read_it(tmp_path, folder, light, capsys) -> None:
    tifffile = pytest.importorskip("tifffile")
    pytest.importorskip("imagecodecs", reason="tifffile reads the predictor of floats with imagecodecs")
    report = merged(capsys, folder, "-o", tmp_path / "out.tif")
    assert report["warnings"] == []
    assert report["size"] == [WIDTH, HEIGHT]
    ours = cv2.imread(str(tmp_path / "out.tif"), cv2.IMREAD_UNCHANGED)
    close(ours, light)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out.tif")[..., ::-1], ours)


def test_hdr_as_opencv_and_imagemagick_read_it(tmp_path, folder, light, capsys) -> None:
    merged(capsys, folder, "-o", tmp_path / "out.hdr")
    ours = cv2.imread(str(tmp_path / "out.hdr"), cv2.IMREAD_UNCHANGED)
    close(ours, light, atol=5e-3)  # RGBE: three channels share an exponent
    if CONVERT is None:
        pytest.skip("needs ImageMagick (apt install imagemagick)")
    as_floats = ("-depth", "16", "-define", "quantum:format=floating-point", "-depth", "32", "rgb:-")
    theirs = np.frombuffer(convert(tmp_path / "out.hdr", *as_floats), np.float32).reshape(HEIGHT, WIDTH, 3)[..., ::-1]
    below_white = ours < 0.9  # Debian's ImageMagick cuts off above, and encodes as sRGB
    np.testing.assert_allclose(decode(theirs)[below_white], ours[below_white], rtol=0.03, atol=5e-3)


def test_exr_as_its_own_library_reads_it(tmp_path, folder, light, capsys) -> None:
    openexr = pytest.importorskip("OpenEXR")
    merged(capsys, folder, "-o", tmp_path / "out.exr")
    file = openexr.File(str(tmp_path / "out.exr"))
    close(file.channels()["RGB"].pixels[..., ::-1], light)
    assert "response srgb" in file.header()["comments"]


def test_given_exposures_go_by_brightness(tmp_path, folder, capsys) -> None:
    files = [folder / f"{name}.webp" for name in "abc"]
    merged(capsys, *files, "-o", tmp_path / "exif.tif")
    merged(capsys, *files, "-o", tmp_path / "plan.tif", "--exposures", "64ms,1ms,8ms")
    merged(capsys, *files, "-o", tmp_path / "ev.tif", "--ev", 3)
    wanted = cv2.imread(str(tmp_path / "exif.tif"), cv2.IMREAD_UNCHANGED)
    for name in ("plan", "ev"):
        read = cv2.imread(str(tmp_path / f"{name}.tif"), cv2.IMREAD_UNCHANGED)
        np.testing.assert_allclose(read, wanted, rtol=1e-5)


def test_frames_of_one_exposure_are_averaged(tmp_path, folder, capsys) -> None:
    shutil.copy(folder / "a.webp", folder / "a2.webp")
    report = merged(capsys, folder, "-o", tmp_path / "out.tif")
    assert report["pictures"] == 4
    assert len(report["steps"]) == 2


def test_a_wrong_response_is_a_warning(tmp_path, folder, capsys) -> None:
    warnings = merged(capsys, folder, "-o", tmp_path / "out.tif", "--response", "linear")["warnings"]
    assert any("response" in line for line in warnings)


def test_what_is_refused(tmp_path, folder, capsys) -> None:
    out = tmp_path / "out.tif"
    assert "ends in" in refused(capsys, folder, "-o", tmp_path / "out.png")
    assert "two pictures" in refused(capsys, folder / "a.webp", "-o", out)
    assert "one of them" in refused(capsys, folder, "-o", out, "--ev", 2, "--exposures", "1ms,2ms,4ms")
    assert "2 exposures for 3 pictures" in refused(capsys, folder, "-o", out, "--exposures", "1ms,2ms")
    assert "srgb or linear" in refused(capsys, folder, "-o", out, "--response", "log")
    assert "no such file" in refused(capsys, folder / "a.webp", folder / "no.webp", "-o", out)
    for name in "abc":
        cv2.imwrite(str(folder / f"{name}.webp"), cv2.imread(str(folder / f"{name}.webp")))
    assert "--ev 2" in refused(capsys, folder, "-o", out)
    cv2.imwrite(str(folder / "b.webp"), cv2.imread(str(folder / "b.webp"))[:-1])
    line = refused(capsys, folder, "-o", out, "--ev", 3)
    assert f"b.webp: is {WIDTH}x{HEIGHT - 1}, c.webp is {WIDTH}x{HEIGHT}" in line
    assert not out.exists()
