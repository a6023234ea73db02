"""`livemef fuse`: what it writes, in which order it takes the exposures, and what it refuses."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from livemef.tools.cli import main
from tests.tools.command import assert_one_line, bracket, livemef, mean_network, write_scene

DATA = Path(os.environ.get("LIVEMEF_DATA", Path(__file__).parents[3] / "shared" / "data"))


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mean_network(tmp_path_factory.mktemp("model") / "mean.onnx")


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_scene(tmp_path / "scene")


def fuse(*arguments: object) -> int:
    return main(["fuse", *map(str, arguments)])


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line with which these arguments are refused."""
    assert fuse(*arguments) == 2
    written = capsys.readouterr()
    assert written.out == ""
    lines = written.err.strip().splitlines()
    assert len(lines) == 1, written.err
    return lines[0]


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
@pytest.mark.parametrize("into", [".png", ".tiff", ".jpeg"])
def test_formats_in_and_out(tmp_path: Path, network: Path, suffix: str, into: str) -> None:
    folder, output = write_scene(tmp_path / "scene", suffix), tmp_path / f"fused{into}"
    assert fuse(folder / f"under{suffix}", folder / f"over{suffix}", "-o", output, "--model", network) == 0
    fused = cv2.imread(str(output), cv2.IMREAD_UNCHANGED)
    under = cv2.imread(str(folder / f"under{suffix}"))
    assert fused.shape == under.shape
    assert fused.dtype == np.uint8
    assert fused.mean() > under.mean() + 5


@pytest.mark.parametrize("into", [".png", ".tif"])
def test_sixteen_bits_are_kept(tmp_path: Path, network: Path, into: str) -> None:
    folder, output = write_scene(tmp_path / "scene", ".tif", "uint16"), tmp_path / f"fused{into}"
    assert fuse(folder / "under.tif", folder / "over.tif", "-o", output, "--model", network) == 0
    fused = cv2.imread(str(output), cv2.IMREAD_UNCHANGED)
    assert fused.dtype == np.uint16
    assert len(np.unique(fused & 255)) > 200  # the low byte is used, not 8 bits spread out


def test_sixteen_bits_into_jpeg_are_rounded(tmp_path: Path, network: Path) -> None:
    folder = write_scene(tmp_path / "scene", ".png", "uint16")
    exposures = (folder / "under.png", folder / "over.png")
    for name in ("fused.jpg", "fused.png"):
        assert fuse(*exposures, "-o", tmp_path / name, "--model", network) == 0
    small = cv2.imread(str(tmp_path / "fused.jpg"), cv2.IMREAD_UNCHANGED)
    large = cv2.imread(str(tmp_path / "fused.png"), cv2.IMREAD_UNCHANGED)
    assert np.abs(small - large / 257.0).mean() < 3


def test_order_of_the_arguments_does_not_matter(scene: Path, tmp_path: Path, network: Path) -> None:
    under, over = scene / "under.png", scene / "over.png"
    assert fuse(under, over, "-o", tmp_path / "a.png", "--model", network) == 0
    assert fuse(over, under, "-o", tmp_path / "b.png", "--model", network) == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def write_with_exif(path: Path, pixels: np.ndarray, seconds: float) -> None:
    image = Image.fromarray(pixels[:, :, ::-1])
    exif = image.getexif()
    exif.get_ifd(0x8769)[0x829A] = seconds
    image.save(path, exif=exif, quality=95)


def test_exif_goes_before_brightness(tmp_path: Path, network: Path, capsys: pytest.CaptureFixture[str]) -> None:
    under, over = bracket()
    write_with_exif(tmp_path / "a.jpg", under, 0.5)
    write_with_exif(tmp_path / "b.jpg", over, 0.01)
    exposures = (tmp_path / "a.jpg", tmp_path / "b.jpg")
    assert fuse(*exposures, "-o", tmp_path / "f.png", "--model", network, "--json") == 0
    assert json.loads(capsys.readouterr().out)["exposures"] == ["b.jpg", "a.jpg"]


def test_three_exposures(tmp_path: Path, network: Path) -> None:
    under, over = bracket()
    middle = cv2.addWeighted(under, 0.5, over, 0.5, 0)
    names = [tmp_path / f"{name}.png" for name in ("x", "y", "z")]
    for name, picture in zip(names, (over, under, middle), strict=True):
        cv2.imwrite(str(name), picture)
    assert fuse(*names, "-o", tmp_path / "fused.png", "--model", network) == 0
    assert cv2.imread(str(tmp_path / "fused.png")).shape == under.shape


def test_folder_of_scenes_goes_on_after_a_bad_one(
    tmp_path: Path, network: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed, name in enumerate(("good", "fine", "empty", "alone", "unequal")):
        write_scene(tmp_path / "scenes" / name, seed=seed)
    (tmp_path / "scenes/empty/under.png").write_bytes(b"")
    (tmp_path / "scenes/alone/over.png").unlink()
    cv2.imwrite(str(tmp_path / "scenes/unequal/over.png"), np.zeros((10, 10, 3), np.uint8))
    assert fuse(tmp_path / "scenes", "-o", tmp_path / "out", "--model", network, "--json") == 2
    written = capsys.readouterr()
    lines = [json.loads(line) for line in written.out.splitlines()]
    assert lines[-1] == {"scenes": 5, "fused": 2, "failed": 3}
    assert {line["scene"] for line in lines[:-1] if "error" in line} == {"empty", "alone", "unequal"}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["fine.png", "good.png"]
    assert len(written.err.strip().splitlines()) == 3
    assert "Traceback" not in written.err


def test_folder_of_scenes_in_another_format(tmp_path: Path, network: Path) -> None:
    for name in ("one", "two"):
        write_scene(tmp_path / "scenes" / name)
    assert fuse(tmp_path / "scenes", "-o", tmp_path / "out", "--model", network, "--format", "tiff") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["one.tiff", "two.tiff"]


def test_folder_that_is_a_scene_itself(scene: Path, tmp_path: Path, network: Path) -> None:
    assert fuse(scene, "-o", tmp_path / "fused.png", "--model", network) == 0
    assert (tmp_path / "fused.png").is_file()


def test_stills_have_network_lines_of_their_own(
    tmp_path: Path, network: Path, scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fused(name: str, *flags: str) -> bytes:
        assert fuse(scene, "-o", tmp_path / name, "--model", network, *flags) == 0
        return (tmp_path / name).read_bytes()

    default = fused("default.png")
    assert fused("same.png", "--network-lines", "90") == default
    assert fused("full.png", "--network-lines", "full") != default
    assert fused("small.png", "--network-lines", "16") != default
    monkeypatch.setenv("LIVEMEF_FUSION__NETWORK_LINES", "16")
    assert fused("live.png") == default
    monkeypatch.setenv("LIVEMEF_FUSION__GAMMA", "0.5")
    assert fused("gamma.png") != default


def test_motion_is_dealt_with_when_asked(
    tmp_path: Path, network: Path, scene: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def described(*flags: str) -> Any:
        assert fuse(scene, "-o", tmp_path / "fused.png", "--model", network, "--json", *flags) == 0
        return json.loads(capsys.readouterr().out)["motion"]

    assert described() is None
    found = described("--motion", "full")
    assert found["reference"] in {path.name for path in scene.iterdir()}
    assert 0 <= found["share"] <= 1
    assert len(found["shift_px"]) == 2


class TestBadInput:
    @pytest.fixture(autouse=True)
    def _nothing_half_written(self, tmp_path: Path, scene: Path) -> object:
        before = set(tmp_path.rglob("*"))
        yield
        new = {path.name for path in set(tmp_path.rglob("*")) - before}
        assert new <= {"bad.png", "x.onnx", "text.png", "small.png", "deep.png", "empty"}

    @pytest.mark.parametrize("name", ["under.png", "over.png"])
    @pytest.mark.parametrize("keep", [0, 20, 0.5, 0.95])
    def test_empty_or_truncated(
        self, scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], network: Path, name: str, keep: float
    ) -> None:
        whole = (scene / name).read_bytes()
        (scene / name).write_bytes(whole[: int(keep if keep > 1 else len(whole) * keep)])
        line = refused(capsys, scene / "under.png", scene / "over.png", "-o", tmp_path / "f.png", "--model", network)
        assert name in line

    def test_truncated_jpeg(self, tmp_path: Path, capsys: pytest.CaptureFixture[str], network: Path) -> None:
        folder = tmp_path / "scene"
        for path in list(folder.iterdir()):
            picture = cv2.imread(str(path))
            path.unlink()
            cv2.imwrite(str(path.with_name("bad.png").with_suffix(".jpg")), picture)
        path = folder / "bad.jpg"
        path.write_bytes(path.read_bytes()[:-40])
        assert "bad.jpg" in refused(capsys, path, path, "-o", tmp_path / "f.png", "--model", network)
        path.unlink()

    def test_no_picture_at_all(
        self, scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], network: Path
    ) -> None:
        (tmp_path / "text.png").write_text("this is no picture, but long enough to be looked at closely")
        assert "text.png" in refused(
            capsys, scene / "under.png", tmp_path / "text.png", "-o", tmp_path / "f.png", "--model", network
        )

    def test_different_size(
        self, scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], network: Path
    ) -> None:
        cv2.imwrite(str(tmp_path / "small.png"), np.zeros((20, 30, 3), np.uint8))
        line = refused(
            capsys, scene / "under.png", tmp_path / "small.png", "-o", tmp_path / "f.png", "--model", network
        )
        assert "64x48" in line
        assert "30x20" in line

    def test_different_depth(
        self, scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], network: Path
    ) -> None:
        cv2.imwrite(str(tmp_path / "deep.png"), bracket(dtype="uint16")[1])
        line = refused(capsys, scene / "under.png", tmp_path / "deep.png", "-o", tmp_path / "f.png", "--model", network)
        assert "uint16" in line

    def test_missing_and_wrong_arguments(self, scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        under, over = scene / "under.png", scene / "over.png"
        for arguments, words in {
            (): "nothing to fuse",
            (under, over): "-o",
            (under, "-o", tmp_path / "f.png"): "two pictures",
            (under, tmp_path / "none.png", "-o", tmp_path / "f.png"): "no such file",
            (scene, over, "-o", tmp_path / "f.png"): "is a folder",
            (under, over, "-o", tmp_path / "f.bmp"): ".bmp",
            (under, over, "-o", tmp_path / "f"): "format",
            (under, over, "-o", tmp_path / "nowhere" / "f.png"): "no folder",
            (under, over, "-o", under): "one of the exposures",
            (scene, "-o", scene): "are read as exposures",
            (scene, "-o", tmp_path / "out", "--format", "gif"): "gif",
            (under, over, "-o", tmp_path / "f.png", "--gamma", "much"): "gamma",
            (under, over, "-o", tmp_path / "f.png", "--gamma", "99"): "gamma",
            (under, over, "-o", tmp_path / "f.png", "--chroma", "both"): "chroma",
            (under, over, "-o", tmp_path / "f.png", "--network-lines", "few"): "--network-lines few",
            (under, over, "-o", tmp_path / "f.png", "--device", "tpu"): "device",
            (under, over, "-o", tmp_path / "f.png", "--threads", "many"): "threads",
            (under, over, "-o", tmp_path / "f.png", "--gama", "1"): "--gamma",
        }.items():
            assert words in refused(capsys, *arguments)

    def test_empty_folder(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "empty").mkdir()
        assert "no pictures" in refused(capsys, tmp_path / "empty", "-o", tmp_path / "out")

    def test_corrupt_and_missing_model(self, scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "x.onnx").write_bytes(b"not a network" * 10)
        for model in (tmp_path / "x.onnx", tmp_path / "none.onnx", "cmb"):
            line = refused(capsys, scene / "under.png", scene / "over.png", "-o", tmp_path / "f.png", "--model", model)
            assert str(model) in line

    def test_unwritable_place(self, scene: Path, capsys: pytest.CaptureFixture[str], network: Path) -> None:
        line = refused(capsys, scene / "under.png", scene / "over.png", "-o", "/proc/f.png", "--model", network)
        assert "/proc/f.png" in line


def test_as_a_process(scene: Path, tmp_path: Path, network: Path) -> None:
    under, over = scene / "under.png", scene / "over.png"
    done = livemef("fuse", under, over, "-o", tmp_path / "f.png", "--model", network)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "under.png < over.png" in done.stdout
    over.write_bytes(over.read_bytes()[:500])
    assert_one_line(livemef("fuse", under, over, "-o", tmp_path / "g.png", "--model", network), "over.png")
    assert not (tmp_path / "g.png").exists()


@pytest.mark.skipif(not (DATA / "dev").is_dir(), reason="no photographs: set LIVEMEF_DATA")
def test_photographs_with_the_shipped_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("Studio", "Chair"):
        shutil.copytree(DATA / "dev" / name, tmp_path / "scenes" / name)
    assert fuse(tmp_path / "scenes", "-o", tmp_path / "out", "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[-1] == {"scenes": 2, "fused": 2, "failed": 0}
    for line in lines[:-1]:
        fused = cv2.imread(line["output"])
        under, over = (cv2.imread(str(tmp_path / "scenes" / line["scene"] / name)) for name in line["exposures"])
        assert under.mean() < fused.mean() < over.mean()
