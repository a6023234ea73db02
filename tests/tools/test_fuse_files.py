"""`livemef fuse` and the files around it: recordings, names, profiles, what is replaced and what is not."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from livemef.capture.files.bracket_folder import BracketPictures
from livemef.tools.cli import main
from livemef.tools.scenes import without_blank
from tests.tools.command import bracket, livemef, mean_network, write_scene


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mean_network(tmp_path_factory.mktemp("model") / "mean.onnx")


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_scene(tmp_path / "scene")


def fuse(*arguments: object) -> int:
    return main(["fuse", *map(str, arguments)])


def outcome(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert fuse(*arguments, "--json") == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[0])
    return found


def test_a_recording_gives_one_picture_a_bracket(
    tmp_path: Path, network: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = tmp_path / "r"
    camera = "sim://?scene=bars&size=96x64&pace=fast"
    assert main(["record", "--camera", camera, "-o", str(recording), "--brackets", "3"]) == 0
    assert fuse(recording, "-o", tmp_path / "out", "--model", network) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["000000.png", "000001.png", "000002.png"]
    # in the recorded order, dark to bright, whatever the file numbers are
    assert "< " in capsys.readouterr().out


@pytest.mark.parametrize("into", [".png", ".tif", ".jpg", ".webp"])
def test_the_output_says_that_it_is_srgb(tmp_path: Path, network: Path, scene: Path, into: str) -> None:
    assert fuse(scene, "-o", tmp_path / f"f{into}", "--model", network) == 0
    with Image.open(tmp_path / f"f{into}") as image:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
    assert ImageCms.getProfileDescription(profile).strip() == "sRGB"


def test_profiles_are_converted_and_named(
    tmp_path: Path, network: Path, scene: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    with Image.open(scene / "under.png") as image:
        image.save(scene / "under.png", icc_profile=srgb)
    assert outcome(capsys, scene, "-o", tmp_path / "f.png", "--model", network)["converted_from"] == []
    for name in ("under", "over"):
        path = scene / f"{name}.png"
        cv2.imwrite(str(path), cv2.imread(str(path)))
        data = path.read_bytes()
        gamma = b"\0\0\0\x04gAMA\0\x01\x86\xa0\x31\xe8\x96\x5f"
        path.write_bytes(data[:33] + gamma + data[33:])
    assert outcome(capsys, scene, "-o", tmp_path / "f.png", "--model", network)["converted_from"] == ["PNG gamma 1"]


def test_the_same_picture_twice_is_a_warning(
    tmp_path: Path, network: Path, scene: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    under = scene / "under.png"
    assert fuse(under, under, "-o", tmp_path / "f.png", "--model", network) == 0
    assert "the same picture" in capsys.readouterr().err


def test_exposures_that_show_nothing_are_left_out(
    tmp_path: Path, network: Path, scene: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = outcome(capsys, scene, "-o", tmp_path / "plain.png", "--model", network)
    shape = cv2.imread(str(scene / "under.png")).shape
    for name, code in (("lens_cap", 3), ("blown", 255)):
        cv2.imwrite(str(scene / f"{name}.png"), np.full(shape, code, np.uint8))
    result = outcome(capsys, scene, "-o", tmp_path / "f.png", "--model", network)
    assert result["exposures"] == plain["exposures"] == ["under.png", "over.png"]
    left_out = ["blown.png is all white, and is left out", "lens_cap.png is all black, and is left out"]
    assert sorted(result["warnings"]) == left_out
    assert np.array_equal(cv2.imread(str(tmp_path / "f.png")), cv2.imread(str(tmp_path / "plain.png")))


@pytest.mark.parametrize(
    ("background", "thing", "part", "note"),
    [
        (0, 200, 0.0004, ()),  # lamps at night
        (5, 200, 0.00002, ("a.png is all black, and is left out",)),  # a hot pixel
        (255, 90, 0.02, ()),
        (255, 90, 0.002, ("a.png is all white, and is left out",)),
        (128, 128, 0.0, ()),
        (0, 255, 0.5, ()),  # as of a scanner: black and white show something together
    ],
)
def test_what_counts_as_showing_nothing(background: int, thing: int, part: float, note: tuple[str, ...]) -> None:
    picture, others = np.full((300, 400, 3), background, np.uint16), np.full((300, 400, 3), 100 * 257, np.uint16)
    picture.reshape(-1, 3)[: round(part * 120_000), 1] = thing
    files = tuple(Path(f"{name}.png") for name in "abc")
    read = BracketPictures(files, (picture * np.uint16(257), others, others), None, (1, 6, 1))
    kept = without_blank(read)
    assert kept.notes == note
    assert kept.files == files[len(note) :]
    assert kept.orientations == (1, 6, 1)[len(note) :]
    assert len(kept.pixels) == 3 - len(note)


def test_two_exposures_are_kept_whatever_they_show(tmp_path: Path) -> None:
    black, grey = np.zeros((40, 50, 3), np.uint8), np.full((40, 50, 3), 90, np.uint8)
    kept = without_blank(BracketPictures((tmp_path / "a.png", tmp_path / "b.png"), (black, grey), None))
    assert len(kept.pixels) == len(kept.files) == 2
    assert kept.notes == ("a.png is all black",)


def test_no_clobber(tmp_path: Path, network: Path, scene: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "f.png"
    kept.write_text("precious")
    assert fuse(scene, "-o", kept, "--model", network, "--no-clobber") == 2
    assert "--no-clobber" in capsys.readouterr().err
    for name in ("a", "b"):
        write_scene(tmp_path / "scenes" / name)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a.png").write_text("precious")
    assert fuse(tmp_path / "scenes", "-o", tmp_path / "out", "--model", network, "--no-clobber", "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[-1] == {"scenes": 2, "fused": 1, "failed": 0, "skipped": 1}
    assert kept.read_text() == (tmp_path / "out/a.png").read_text() == "precious"
    assert (tmp_path / "out/b.png").stat().st_size > 100


@pytest.mark.parametrize("name", ["all.png", "all.bmp", "all.mp4"])
def test_one_file_for_many_scenes_is_refused(
    tmp_path: Path, network: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    for scene in ("a", "b"):
        write_scene(tmp_path / "scenes" / scene)
    assert fuse(tmp_path / "scenes", "-o", tmp_path / name, "--model", network) == 2
    assert "name a folder" in capsys.readouterr().err
    assert not (tmp_path / name).exists()


def test_a_limit_on_pixels(tmp_path: Path, network: Path, scene: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fuse(scene, "-o", tmp_path / "f.png", "--model", network, "--max-megapixels", "0.003") == 2
    assert "64x48: more than 0.003 megapixels" in capsys.readouterr().err


def test_names_as_long_as_the_file_system_allows(tmp_path: Path, network: Path, scene: Path) -> None:
    for length in (230, 250, 255):
        output = tmp_path / ("n" * (length - 4) + ".png")
        assert fuse(scene, "-o", output, "--model", network) == 0
        assert output.stat().st_size > 100


def test_names_that_are_not_utf8(tmp_path: Path, network: Path) -> None:
    folder = tmp_path / os.fsdecode(b"sc\xe8ne")
    write_scene(tmp_path / "scene").rename(folder)
    (folder / "under.png").rename(folder / os.fsdecode(b"d\xe4rk.png"))
    for extra in ((), ("--json",)):
        done = livemef("fuse", folder, "-o", tmp_path / os.fsdecode(b"f\xfc.png"), "--model", network, *extra)
        assert done.returncode == 0, done.stderr
        assert "\\xe4rk.png" in (done.stdout if not extra else json.loads(done.stdout)["exposures"][0])
    done = livemef("fuse", folder / os.fsdecode(b"m\xefssing.png"), folder, "-o", tmp_path / "f.png")
    assert done.returncode == 2
    assert "\\xefssing.png" in done.stderr


def test_names_cannot_steer_the_terminal(tmp_path: Path, network: Path, scene: Path) -> None:
    strange = tmp_path / "a\x1b[2J\nb"
    scene.rename(strange)
    done = livemef("fuse", strange, "-o", tmp_path / "f\x1b[31m.png", "--model", network)
    assert done.returncode == 0, done.stderr
    assert "f\\x1b[31m.png: " in done.stdout
    assert done.stdout.count("\n") == 1
    done = livemef("fuse", strange / "\x1b[2J.png", strange, "-o", tmp_path / "g.png")
    assert done.returncode == 2
    assert "\x1b" not in done.stderr


def test_help_has_an_example_and_the_defaults() -> None:
    text = " ".join(livemef("fuse", "--help").stdout.split())
    assert "livemef fuse under.jpg over.jpg -o fused.png" in text
    assert "[default: png]" in text
    assert "[default: 200" in text


def test_raw_files_by_name_never_fuse_their_thumbnail(
    tmp_path: Path, network: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, picture in zip(("under.NEF", "over.NEF"), bracket(), strict=True):
        # as Nikon's: a TIFF whose first page is a small picture
        Image.fromarray(np.ascontiguousarray(picture[..., ::-1])).save(tmp_path / name, "TIFF")
    assert fuse(tmp_path / "under.NEF", tmp_path / "over.NEF", "-o", tmp_path / "f.png", "--model", network) == 2
    assert "raw file" in capsys.readouterr().err
    assert not (tmp_path / "f.png").exists()
