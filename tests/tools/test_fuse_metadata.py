"""What `livemef fuse` writes beside the pixels, as exiftool, exiv2, Pillow and Little CMS read it."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from livemef.capture.files.colour_space import ADOBE_RGB, SRGB, from_srgb, to_srgb
from livemef.capture.files.icc import icc_profile
from livemef.capture.files.image_io import read_picture
from livemef.capture.files.output_profile import output_profile
from livemef.tools.cli import main
from tests.imagemagick import CONVERT, convert

FORMATS = ("jpg", "png", "webp", "tif")
EXIF_IFD, GPS_IFD = 0x8769, 0x8825
GPS = b"ASCII\0\0\0GPS"


def needs(tool: str) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two photographs of one scene with the EXIF of a camera."""
    folder = tmp_path_factory.mktemp("sources")
    rng = np.random.default_rng(1)
    scene = cv2.resize(rng.uniform(0.05, 1, (12, 16, 3)).astype(np.float32), (64, 48))
    files = []
    for name, factor, seconds in (("under.jpg", 80, 0.005), ("over.jpg", 240, 0.08)):
        exif = Image.Exif()
        exif[271], exif[272], exif[33432], exif[274] = "Maker", "Model 1", "(c) Museum", 1
        detail = exif.get_ifd(EXIF_IFD)
        detail |= {
            33434: seconds,
            33437: 5.6,
            34855: 100,
            36867: f"2026:05:01 10:00:0{int(factor > 99)}",
            42036: "50mm",
        }
        detail[37386] = 50.0 if factor < 99 else 51.0
        exif.get_ifd(GPS_IFD).update({1: "N", 2: (48.0, 12.0, 30.5), 3: "E", 4: (16.0, 22.0, 1.0), 27: GPS})
        picture = np.clip(scene * factor, 0, 255).astype(np.uint8)
        Image.fromarray(picture).save(folder / name, quality=98, exif=exif)
        files.append(folder / name)
    return files


@pytest.fixture(scope="module", params=FORMATS)
def fused(request: pytest.FixtureRequest, sources: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fused") / f"out.{request.param}"
    assert main(["fuse", *map(str, sources), "-o", str(path)]) == 0
    return path


def tags_by_exiftool(path: Path) -> dict[str, object]:
    needs("exiftool")
    command = ["exiftool", "-json", "-n", "-G1", "-struct", "-a", str(path)]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout)[0]
    return dict(found)


def test_exiftool_finds_nothing_wrong(fused: Path) -> None:
    needs("exiftool")
    command = ["exiftool", "-validate", "-warning", "-error", "-a", str(fused)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout.split(":")[-1].strip() == "OK", done.stdout


def test_what_the_exposures_agree_on_is_kept(fused: Path) -> None:
    tags = tags_by_exiftool(fused)
    assert (tags["IFD0:Make"], tags["IFD0:Model"], tags["IFD0:Copyright"]) == ("Maker", "Model 1", "(c) Museum")
    assert (tags["ExifIFD:FNumber"], tags["ExifIFD:ISO"], tags["ExifIFD:LensModel"]) == (5.6, 100, "50mm")
    assert tags["ExifIFD:DateTimeOriginal"] == "2026:05:01 10:00:00"
    assert tags["GPS:GPSLatitude"] == pytest.approx(48 + 12 / 60 + 30.5 / 3600)
    assert "ExifIFD:ExposureTime" not in tags
    assert "ExifIFD:FocalLength" not in tags
    assert (tags["ExifIFD:CompositeImage"], tags["ExifIFD:CompositeImageCount"]) == (3, "2 2")
    assert tags["IFD0:Orientation"] == 1


def test_xmp_names_the_sources_with_their_checksums(fused: Path, sources: list[Path]) -> None:
    tags = tags_by_exiftool(fused)
    sums = [f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}" for file in sources]
    wanted = [{"FilePath": file.name, "DocumentID": one} for file, one in zip(sources, sums, strict=True)]
    assert tags["XMP-xmpMM:Ingredients"] == wanted
    assert str(tags["XMP-iptcExt:DigitalSourceType"]).endswith("computationalCapture")
    assert json.loads(str(tags["XMP-livemef:Fusion"]))["network_lines"] == 90
    needs("exiv2")
    listed = subprocess.run(["exiv2", "-px", str(fused)], capture_output=True, text=True, timeout=60).stdout
    assert all(one in listed for one in sums)


def test_readers_see_the_same_pixels(fused: Path) -> None:
    ours = read_picture(fused)
    assert np.array_equal(cv2.imread(str(fused), cv2.IMREAD_UNCHANGED), ours)
    with Image.open(fused) as image:
        assert np.abs(np.asarray(image.convert("RGB"))[..., ::-1].astype(int) - ours).max() <= (fused.suffix == ".jpg")
        assert "sRGB" in str(
            ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"])))
        )
    if CONVERT is not None:
        theirs = np.frombuffer(convert(fused, "-depth", "8", "rgb:-"), np.uint8).reshape(ours.shape)[..., ::-1]
        assert np.abs(theirs.astype(int) - ours).max() <= (fused.suffix == ".jpg")


def test_another_colour_space_shows_the_same_colours(sources: list[Path], tmp_path: Path) -> None:
    profile = tmp_path / "own.icc"
    profile.write_bytes(icc_profile(ADOBE_RGB))
    assert main(["fuse", *map(str, sources), "-o", str(tmp_path / "srgb.png")]) == 0
    plain = read_picture(tmp_path / "srgb.png")
    for name, given in (("named", "adobe-rgb"), ("own", str(profile)), ("lstar", "l-star")):
        path = tmp_path / f"{name}.png"
        assert main(["fuse", *map(str, sources), "-o", str(path), "--icc", given]) == 0
        assert not np.array_equal(cv2.imread(str(path)), plain)
        assert np.abs(read_picture(path).astype(int) - plain).max() <= (5 if name == "lstar" else 3)
    with Image.open(tmp_path / "own.png") as image:
        assert image.info["icc_profile"] == profile.read_bytes()
        there = ImageCms.profileToProfile(image, io.BytesIO(profile.read_bytes()), ImageCms.createProfile("sRGB"))
    assert np.abs(np.asarray(there)[..., ::-1].astype(int) - plain).max() <= 3


@pytest.mark.parametrize("name", ["adobe-rgb", "l-star"])
def test_sixteen_bits_go_there_and_back(name: str) -> None:
    picture = np.random.default_rng(0).integers(15000, 50000, (40, 50, 3), np.uint16)  # no corner of sRGB
    space = output_profile(name).space
    back, _ = to_srgb(from_srgb(picture, space), space)
    assert np.abs(back.astype(int) - picture).max() <= 24
    assert output_profile("srgb").convert(picture) is picture
    assert output_profile("srgb").space is SRGB


def test_what_is_no_profile_is_refused(sources: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.icc").write_bytes(b"no profile" * 20)
    for given, says in ((str(tmp_path / "bad.icc"), "no ICC profile of RGB"), ("p3", "name srgb, adobe-rgb, l-star")):
        assert main(["fuse", *map(str, sources), "-o", str(tmp_path / "x.png"), "--icc", given]) == 2
        assert says in capsys.readouterr().err
    assert not (tmp_path / "x.png").exists()


def test_damaged_exif_and_odd_names_do_no_harm(sources: list[Path], tmp_path: Path) -> None:
    odd = tmp_path / '객체 <&> "1".jpg'
    data = sources[0].read_bytes()
    odd.write_bytes(data[:40] + b"\xff" * 60 + data[100:])
    assert main(["fuse", str(odd), str(sources[1]), "-o", str(tmp_path / "out.tif")]) == 0
    tags = tags_by_exiftool(tmp_path / "out.tif")
    names = {one["FilePath"] for one in tags["XMP-xmpMM:Ingredients"]}  # type: ignore[attr-defined]
    assert names == {odd.name, "over.jpg"}
