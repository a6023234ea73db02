"""`livemef fuse --profile`: exposures are corrected by what was measured of their camera."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest

from livemef.calibration.correction import correction_in_force, correction_of
from livemef.calibration.profile import CameraProfile, ColourSection, FlatSection, new_profile, now, save_profile
from livemef.capture.cameras.registry import open_camera
from livemef.capture.frame import Bracket, Exposure, FrameRecord, Verdict
from livemef.fusion.picture_correction import BracketCorrection, PictureCorrection
from livemef.tools.cli import main

CAMERA = "sim://?scene=flat&size=64x48&pace=fast&full_well=100000&vignetting=0.5"
TINT = ((1.0, 0.0, 0.0), (0.0, 0.8, 0.0), (0.0, 0.0, 0.6))


def profile() -> CameraProfile:
    """Of a camera with half of its light lost in the corners, and too much green and red."""
    with closing(open_camera(CAMERA)) as camera:
        identity = camera.info.identity
    across = np.linspace(-1, 1, 5)
    loss = 1 - 0.25 * (across[:, None] ** 2 + across[None] ** 2)
    grid = tuple(tuple(float(value) for value in row) for row in loss)
    flat = FlatSection(date=now(), vignetting=(grid,) * 3, residual=0.01, hot_pixels=((5, 5),))
    colour = ColourSection(date=now(), matrix=TINT, de00_patches=(), de00_mean=0.0, de00_p90=0.0, de00_max=0.0)
    return new_profile(identity).with_section(flat=flat, colour=colour)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_profile(tmp_path / "p.toml", profile())
    recording = ["record", "--camera", CAMERA, "--exposures", "2ms,8ms", "--brackets", "1", "-o", str(tmp_path / "r")]
    assert main(recording) == 0
    return tmp_path


def test_fused_pictures_lose_falloff_and_tint(folder: Path) -> None:
    for name, options in (("plain", []), ("fixed", ["--profile", str(folder / "p.toml")])):
        assert main(["fuse", str(folder / "r"), "-o", str(folder / f"{name}.png"), *options]) == 0
    plain, fixed = (cv2.imread(str(folder / f"{name}.png")).astype(float) for name in ("plain", "fixed"))
    corner, middle = (slice(0, 8), slice(0, 8)), (slice(20, 28), slice(28, 36))
    assert plain[corner].mean() / plain[middle].mean() < 0.85
    assert fixed[corner].mean() / fixed[middle].mean() == pytest.approx(1, abs=0.06)
    blue, green, red = fixed[middle].mean(axis=(0, 1))
    assert blue > green + 10 > red + 20


def test_footage_is_corrected_as_pictures_are(folder: Path) -> None:
    options = ["--ev", "2", "--format", "png", "--motion", "off", "--profile", str(folder / "p.toml")]
    frames = folder / "clip"
    frames.mkdir()
    for number, file in enumerate(sorted((folder / "r" / "frames").glob("*.png")) * 2):
        (frames / f"{number:04d}.png").write_bytes(file.read_bytes())
    assert main(["fuse", str(frames), "-o", str(folder / "fused"), *options]) == 0
    fused = cv2.imread(str(next(iter(sorted((folder / "fused").iterdir()))))).astype(float)
    assert fused[:8, :8].mean() / fused[20:28, 28:36].mean() == pytest.approx(1, abs=0.06)
    blue, green, red = fused[20:28, 28:36].mean(axis=(0, 1))
    assert blue > green > red


def test_pictures_of_another_size_and_a_missing_profile_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, level in enumerate((20, 80)):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((20, 30, 3), level, np.uint8))
    exposures = [str(folder / "0.png"), str(folder / "1.png"), "-o", str(folder / "out.png")]
    assert main(["fuse", *exposures, "--profile", str(folder / "p.toml")]) == 2
    assert "measured at 64x48, the picture is 30x20" in capsys.readouterr().err
    assert main(["fuse", *exposures, "--profile", str(folder / "none.toml")]) == 2
    assert "livemef calibrate makes one" in capsys.readouterr().err


def test_a_profile_that_changes_nothing_is_none(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    save_profile(path, new_profile(profile().identity))
    assert correction_in_force(str(path)) is None
    assert correction_in_force("") is None
    save_profile(path, profile())
    assert correction_in_force(str(path), correct=False) is None
    found = correction_in_force(str(path))
    assert found is not None
    assert found.applied == ("flat field", "hot pixels", "colour")


def test_each_frame_of_a_stream_is_corrected_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    apply = PictureCorrection.apply

    def counting(self: PictureCorrection, pixels: np.ndarray) -> np.ndarray:
        calls.append(int(pixels[0, 0, 0]))
        return apply(self, pixels)

    monkeypatch.setattr(PictureCorrection, "apply", counting)
    corrected = BracketCorrection(correction_of(profile()))
    frames = [np.full((48, 64, 3), level, np.uint8) for level in (10, 20, 30)]
    records = [FrameRecord(number, number, "none", 0, measured=Exposure(1000.0)) for number in range(3)]
    first = corrected.exposures(Bracket((records[0], records[1]), Verdict.GOOD), frames[:2])
    second = corrected.exposures(Bracket((records[2], records[1]), Verdict.GOOD), [frames[2], frames[1]])
    assert calls == [10, 20, 30]
    assert second[1] is first[1]


def test_the_setting_is_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    settings = ["run", "--camera", CAMERA, "--profile", str(folder / "p.toml"), "--print-config"]
    assert main([*settings, "--no-correct"]) == 0
    assert "correct = false" in capsys.readouterr().out
    assert main(settings) == 0
    assert "correct = true" in capsys.readouterr().out
