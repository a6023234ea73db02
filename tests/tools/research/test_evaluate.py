from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from livemef.fusion.methods.registry import METHODS
from livemef.fusion.metrics.registry import score
from livemef.tools.cli import main
from livemef.tools.research.evaluate import _resaved, mean_scores

METRICS = {
    "mef_ssim", "mef_ssim_colour", "jnbm", "camera_colour_error", "large_colour_errors", "camera_chroma_ratio",
    "camera_hue_error", "hue_error", "chroma_ratio", "q_abf", "entropy", "average_gradient", "spatial_frequency", "ms",
}  # fmt: skip


def exposures(height: int = 96, width: int = 130, seed: int = 0, count: int = 2) -> list[np.ndarray]:
    light = cv2.GaussianBlur(np.random.default_rng(seed).uniform(0, 1, (height, width, 3)), (7, 7), 1.2)
    gains = np.geomspace(0.15, 1.8, count)
    return [np.clip(255 * (light * gain) ** 0.5, 0, 255).astype(np.uint8) for gain in gains]


def write_scene(folder: Path, pictures: list[np.ndarray], names: tuple[str, ...]) -> None:
    folder.mkdir(parents=True)
    for picture, name in zip(pictures, names, strict=True):
        assert cv2.imwrite(str(folder / name), picture)


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    root = tmp_path / "scenes"
    write_scene(root / "lossless", exposures(seed=1), ("under.png", "over.png"))
    write_scene(root / "lossy", exposures(120, 97, 2), ("under.jpg", "over.jpg"))
    write_scene(root / "three", exposures(seed=3, count=3), ("0.png", "1.png", "2.png"))
    return root


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, dict]:
    assert main(["evaluate", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)["methods"]


def test_json_holds_every_metric_by_scene_and_the_mean(scenes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    methods = run_json(capsys, str(scenes), "--methods", "dem,mertens")
    assert list(methods) == ["dem", "mertens"]
    for entry in methods.values():
        assert set(entry["scenes"]) == {"lossless", "lossy", "three"}
        assert all(set(own) == METRICS for own in (entry["mean"], *entry["scenes"].values()))
        mean = sum(own["mef_ssim"] for own in entry["scenes"].values()) / 3
        assert entry["mean"]["mef_ssim"] == pytest.approx(mean, abs=1e-5)
        assert entry["mean"]["ms"] > 0
    pictures = [cv2.imread(str(scenes / "lossless" / name)) for name in ("under.png", "over.png")]
    expected = score(pictures, METHODS["dem"].load()(pictures))
    assert methods["dem"]["scenes"]["lossless"]["hue_error"] == pytest.approx(expected.hue_error, abs=1e-5)
    assert methods["dem"]["scenes"]["lossless"]["mef_ssim"] == pytest.approx(expected.mef_ssim, abs=1e-5)


def test_jpeg_like_inputs_resaves_jpeg_scenes_only(scenes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = run_json(capsys, str(scenes), "--methods", "mertens")["mertens"]["scenes"]
    resaved = run_json(capsys, str(scenes), "--methods", "mertens", "--jpeg-like-inputs")["mertens"]["scenes"]
    assert resaved["lossless"]["mef_ssim"] == plain["lossless"]["mef_ssim"]
    assert resaved["lossy"]["mef_ssim"] < plain["lossy"]["mef_ssim"]
    pictures = [cv2.imread(str(scenes / "lossy" / name)) for name in ("under.jpg", "over.jpg")]
    fused = _resaved(METHODS["mertens"].load()(pictures))
    assert resaved["lossy"]["mef_ssim"] == pytest.approx(score(pictures, fused).mef_ssim, abs=1e-5)


def test_table_and_sheet(scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sheet = tmp_path / "sheet.png"
    assert main(["evaluate", str(scenes), "--methods", "dbm,mertens", "--sheet", str(sheet)]) == 0
    out = capsys.readouterr().out
    assert "mean of 3 scenes" in out
    assert all(word in out for word in ("lossless", "lossy", "three", "dbm*", "mertens", "our reading"))
    picture = cv2.imread(str(sheet))
    assert picture.shape[1] == 4 * 326
    assert picture.shape[0] > 3 * 230
    fused = METHODS["mertens"].load()([cv2.imread(str(scenes / "lossless" / n)) for n in ("under.png", "over.png")])
    corner = picture[22 : 22 + 236, 3 * 326 : 3 * 326 + 320]
    assert np.abs(corner.mean(axis=(0, 1)) - fused.mean(axis=(0, 1))).max() < 3
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_csv_has_a_row_for_each_scene_and_method(
    scenes: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    table = tmp_path / "scores.csv"
    entries = run_json(capsys, str(scenes), "--methods", "mertens,dem", "--csv", str(table))
    with table.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {(row["scene"], row["method"]) for row in rows} == {
        (scene, method) for method, entry in entries.items() for scene in entry["scenes"]
    }
    for row in rows:
        scores = entries[row["method"]]["scenes"][row["scene"]]
        assert float(row["mef_ssim"]) == pytest.approx(scores["mef_ssim"])
        assert row["jnbm"] == ("" if scores["jnbm"] is None else str(scores["jnbm"]))


def test_a_metric_that_is_not_defined_is_null_and_left_out_of_the_mean(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grey = [np.full((50, 60, 3), code, np.uint8) for code in (60, 160)]
    write_scene(tmp_path / "scenes" / "grey", grey, ("under.png", "over.png"))
    entry = run_json(capsys, str(tmp_path / "scenes"), "--methods", "mertens")["mertens"]
    assert entry["scenes"]["grey"]["hue_error"] is None
    assert entry["mean"]["jnbm"] is None
    means = mean_scores([{"jnbm": math.nan, "ms": 1.0}, {"jnbm": 4.0, "ms": 2.0}])
    assert means == {"jnbm": 4.0, "ms": 1.5}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["missing"], "no such folder"),
        (["scenes", "--methods", "dme"], "did you mean dem"),
        (["scenes", "--methods", ","], "names no method"),
        (["scenes", "--methods", "dem", "--sheet", "sheet.xyz"], "names no picture format"),
        (["scenes", "--methods", "dem", "--sheet", "nowhere/sheet.png"], "there is no folder"),
        (["scenes", "--methods", "dem", "--csv", "nowhere/scores.csv"], "there is no folder"),
        (["single", "--methods", "dem"], "needs two pictures"),
        (["unequal", "--methods", "dem"], "one size"),
        (["empty", "--methods", "dem"], "no pictures"),
        (["broken", "--methods", "dem"], "under.png"),
        (["tiny", "--methods", "dem"], "44 pixels"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    scenes: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    complaint: str,
) -> None:
    root = scenes.parent
    under, over = exposures()
    write_scene(root / "single" / "one", [under], ("under.png",))
    write_scene(root / "unequal" / "one", [under, over[:-1]], ("under.png", "over.png"))
    write_scene(root / "broken" / "one", [under, over], ("under.png", "over.png"))
    write_scene(root / "tiny" / "one", [under[:30, :30], over[:30, :30]], ("under.png", "over.png"))
    (root / "broken" / "one" / "under.png").write_bytes(b"\x89PNG\r\n\x1a\n but no more")
    (root / "empty").mkdir()
    monkeypatch.chdir(root)
    assert main(["evaluate", *arguments]) == 2
    captured = capsys.readouterr()
    assert complaint in captured.err
    assert len(captured.err.strip().splitlines()) == 1
    assert captured.out == ""


def test_the_ends_are_fused_and_the_whole_series_shows_the_colours(
    scenes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = [cv2.imread(str(scenes / "three" / f"{number}.png")) for number in range(3)]
    whole, ends = (run_json(capsys, str(scenes), "--methods", "dem", *flag) for flag in ([], ["--ends"]))
    expected = score(pictures[::2], METHODS["dem"].load()(pictures[::2]), pictures)
    found = ends["dem"]["scenes"]["three"]
    assert found["camera_colour_error"] == pytest.approx(expected.camera_colour_error, abs=1e-5)
    assert found["mef_ssim"] == pytest.approx(expected.mef_ssim, abs=1e-5)
    assert found != whole["dem"]["scenes"]["three"]
    assert ends["dem"]["scenes"]["lossless"]["camera_colour_error"] is None
    assert main(["evaluate", str(scenes), "--methods", "dem"]) == 0
    printed = capsys.readouterr().out
    assert "camera" in printed
