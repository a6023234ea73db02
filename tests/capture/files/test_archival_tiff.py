"""Archival TIFF files as other programs read them."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from livemef.capture.errors import CaptureError
from livemef.capture.files.archival_tiff import TiffMetadata, write_archival_tiff
from livemef.capture.files.colour_space import LSTAR_RGB, SRGB
from livemef.capture.files.icc import icc_profile
from livemef.capture.files.image_io import read_picture
from livemef.capture.files.xmp import XmpDescription, xmp_packet
from tests.imagemagick import convert, needs_imagemagick

TITLE = '고서 <1> & "2"'


def needs(program: str, package: str):
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"no {program} (apt install {package})")


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 65536, (150, 97, 3)).astype(np.uint16)


def metadata(**changes) -> TiffMetadata:
    xmp = XmpDescription("KR-1", "uuid:1", "computationalCapture", "livemef", TITLE, "김", "©", [("a.tif", "uuid:2")])
    given = {"icc": icc_profile(SRGB), "xmp": xmp_packet(xmp), "composite": (6, 6), "pixels_per_mm": 11.8} | changes
    return TiffMetadata("KR-1 master", "livemef 0", "2026:01:02 03:04:05", "+09:00", "maker", "model", **given)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory, pixels: np.ndarray) -> Path:
    path = tmp_path_factory.mktemp("tiff") / "a.tif"
    write_archival_tiff(path, pixels, metadata())
    return path


def test_opencv_tifffile_and_livemef_read_the_same_pixels(file: Path, pixels: np.ndarray) -> None:
    tifffile = pytest.importorskip("tifffile")
    np.testing.assert_array_equal(cv2.imread(str(file), cv2.IMREAD_UNCHANGED), pixels)
    np.testing.assert_array_equal(tifffile.imread(file)[..., ::-1], pixels)
    np.testing.assert_array_equal(read_picture(file), pixels)


@needs_imagemagick
def test_imagemagick_reads_the_same_pixels(file: Path, pixels: np.ndarray) -> None:
    read = convert(file, "-depth", "16", "-endian", "LSB", "rgb:-")
    np.testing.assert_array_equal(np.frombuffer(read, "<u2").reshape(pixels.shape)[..., ::-1], pixels)


@needs("exiftool", "libimage-exiftool-perl")
def test_exiftool_finds_nothing_wrong_and_reads_the_metadata(file: Path) -> None:
    done = subprocess.run(
        ["exiftool", "-validate", "-warning", "-error", "-a", str(file)], capture_output=True, text=True
    )
    assert done.stdout.split(":")[-1].strip() == "OK"
    names = [
        "-Title",
        "-Creator",
        "-Rights",
        "-CompositeImageCount",
        "-XResolution",
        "-ProfileDescription",
        "-OffsetTime*",
    ]
    done = subprocess.run(["exiftool", "-s3", *names, str(file)], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[:5] == [TITLE, "김", "©", "6 6", "299.72"]
    assert "sRGB" in lines[5]


@needs("exiv2", "exiv2")
def test_exiv2_reads_the_xmp(file: Path) -> None:
    done = subprocess.run(["exiv2", "-px", str(file)], capture_output=True, text=True, check=True)
    assert "김" in done.stdout
    assert "uuid:2" in done.stdout


def test_eight_bits_one_exposure_and_no_more(tmp_path: Path) -> None:
    small = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    write_archival_tiff(
        tmp_path / "s.tif", small, metadata(icc=b"", xmp=b"", composite=None, pixels_per_mm=None, exposure_us=4000.0)
    )
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "s.tif"), cv2.IMREAD_UNCHANGED), small)
    with Image.open(tmp_path / "s.tif") as image:
        assert float(image.getexif().get_ifd(0x8769)[33434]) == pytest.approx(0.004)
    digest = hashlib.sha256((tmp_path / "s.tif").read_bytes()).hexdigest()
    assert digest == "c67f5f94dfd11abc0627f14758f8a5c3a496bc5b0b7f28b646f9a7b0d5e83056"
    with pytest.raises(CaptureError, match="File exists"):
        write_archival_tiff(tmp_path / "s.tif", small, metadata())


def test_profiles_are_the_same_bytes_every_time_and_true_to_a_colour_engine() -> None:
    digests = [hashlib.sha256(icc_profile(space)).hexdigest()[:16] for space in (SRGB, LSTAR_RGB)]
    assert digests == ["ec9ddede8ec39431", "a176e0a1ba235974"]
    import io

    ours = ImageCms.ImageCmsProfile(io.BytesIO(icc_profile(SRGB)))
    theirs = ImageCms.createProfile("sRGB")
    colours = Image.fromarray(np.random.default_rng(3).integers(0, 256, (64, 64, 3)).astype(np.uint8))
    converted = ImageCms.profileToProfile(colours, ours, theirs, renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC)
    assert np.abs(np.asarray(converted).astype(int) - np.asarray(colours)).max() <= 1


ARCHIVE_RULES = Path("/usr/share/checkit_tiff/example_configs/cit_tiff6_baseline_SLUB.cfg")


def faults_by_archive_rules(path: Path) -> list[str]:
    """What checkit_tiff finds against the rules of SLUB Dresden's archive, a line each."""
    command = ["checkit_tiff", "-q", str(ARCHIVE_RULES), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    faults = [line for line in done.stdout.splitlines() if line.startswith("(EE)\t")]
    assert (done.returncode == 0) == (not faults), done.stdout
    return faults


@needs("checkit_tiff", "checkit-tiff")
def test_the_rules_of_an_archive_pass_where_the_scale_is_known(tmp_path: Path, pixels: np.ndarray) -> None:
    """Without a scale the resolution is what is missing: none is invented."""
    write_archival_tiff(tmp_path / "a.tif", pixels, metadata(pixels_per_mm=11.82))
    assert faults_by_archive_rules(tmp_path / "a.tif") == []
    write_archival_tiff(tmp_path / "b.tif", pixels, metadata(pixels_per_mm=None))
    named = {fault.split("(")[2].split(")")[0] for fault in faults_by_archive_rules(tmp_path / "b.tif")}
    assert named == {"XResolution", "YResolution", "ResolutionUnit"}
    write_archival_tiff(tmp_path / "c.tif", pixels, metadata(pixels_per_mm=11.82, icc=b""))
    assert faults_by_archive_rules(tmp_path / "c.tif")
