"""A profile keeps one camera's measurements, and is used for that camera only."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livemef.calibration.errors import CalibrationError
from livemef.calibration.profile import (
    CameraProfile,
    ColourSection,
    DelaySection,
    FlatSection,
    ResponseSection,
    load_profile,
    new_profile,
    profile_in_force,
    profile_name,
    save_profile,
)
from livemef.capture.cameras.base import CameraIdentity
from livemef.capture.cameras.registry import open_camera
from livemef.capture.errors import CaptureError
from livemef.capture.frame import Bracket, Exposure, FrameRecord, Verdict
from livemef.capture.session import CaptureSession
from livemef.fusion.bracket_fuser import moments_of
from livemef.fusion.motion.intensity_mapping import at

IDENTITY = CameraIdentity("simulated camera", "7", 96, 64, "uint8")
CAMERA = "sim://?scene=bars&size=96x64&seed=7&pace=fast"
DELAY = DelaySection(date="2026-01-01", exposure_delay=4, gain_delay=None, trials=3, agreeing=3, separation=9.5)


def profile(**sections: object) -> CameraProfile:
    return new_profile(IDENTITY).with_section(**{"delay": DELAY, **sections})


def test_a_profile_is_read_as_it_was_written(tmp_path: Path) -> None:
    colour = ColourSection(
        date="2026-01-01",
        matrix=((1.5, -0.25, 1e-9), (0.0, 1.0, 0.125), (-0.5, 3.0, 2.0)),
        de00_patches=(0.5,) * 24,
        de00_mean=0.5,
        de00_p90=0.6,
        de00_max=0.7,
    )
    flat = FlatSection(date="d", hot_pixels=((3, 4), (5, 6)), vignetting=(((1.0, 0.5), (0.5, 0.25)),) * 3, residual=0.1)
    written = profile(colour=colour, flat=flat)
    save_profile(tmp_path / "p.toml", written)
    assert load_profile(tmp_path / "p.toml") == written


@given(model=st.text(max_size=30), serial=st.text(max_size=30))
def test_any_name_survives(tmp_path_factory: pytest.TempPathFactory, model: str, serial: str) -> None:
    path = tmp_path_factory.mktemp("profile") / "p.toml"
    written = dataclasses.replace(profile(), model=model, serial=serial)
    save_profile(path, written)
    assert load_profile(path) == written


def test_the_file_name_distinguishes_cameras_and_modes() -> None:
    assert profile_name(IDENTITY) == "simulated-camera-7-96x64-uint8.toml"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, ["No such file"]),
        ("= nonsense", ["not valid TOML"]),
        ("a = 1", ["is no camera profile"]),
        ('format = "livemef-camera-profile"\nversion = 99', ["version 99", "reads 1"]),
        ('format = "livemef-camera-profile"\nversion = 1\nmodel = 4', ["p.toml: "]),
    ],
)
def test_a_profile_that_cannot_be_used_is_one_line(tmp_path: Path, text: str | None, words: list[str]) -> None:
    path = tmp_path / "p.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(CalibrationError) as caught:
        load_profile(path)
    for word in ["p.toml", *words]:
        assert word in str(caught.value)


def test_an_unknown_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    save_profile(path, profile())
    path.write_text(path.read_text() + "gain_dealy = 2\n")
    with pytest.raises(CalibrationError, match="gain_dealy"):
        load_profile(path)


def test_the_session_takes_the_measured_delay_and_refuses_another_camera(tmp_path: Path) -> None:
    save_profile(tmp_path / "p.toml", profile())
    known, label = profile_in_force(str(tmp_path / "p.toml"))
    assert label.startswith("p.toml@")
    assert len(label) == len("p.toml@") + 12
    camera = open_camera(CAMERA + "&delay=4&metadata=off")
    session = CaptureSession(camera, known=known)
    camera.start()
    kept = [frame for frame in (session.next_frame(1.0) for _ in range(40)) if frame is not None]
    truth = {truth.sequence: truth.exposure for truth in camera.truth}
    assert kept
    assert all(truth[frame.record.sequence] == session.plan[frame.record.index] for frame in kept)
    assert session.counters.resynchronisations == 0
    for other in ("seed=8", "bits=16", "size=128x64"):
        name = other.split("=")[0]
        uri = "&".join([part for part in CAMERA.split("&") if not part.startswith(name)] + [other])
        with pytest.raises(CaptureError, match=r"profile .*p\.toml: is of simulated camera 7, 96x64, uint8"):
            CaptureSession(open_camera(uri), known=known)
    assert profile_in_force("") == (None, "")


def test_a_measured_response_is_what_motion_presumes(tmp_path: Path) -> None:
    """Of a camera whose codes are the square root of light, four times the light is twice the code."""
    light = tuple(float(code) ** 2 for code in np.linspace(0, 1, 65))
    section = ResponseSection(
        date="2026-01-01", black_level=0.0, light=(light,) * 3, exposure_offset_us=0.0, exposures=(), residual=0.0
    )
    save_profile(tmp_path / "p.toml", profile(response=section))
    known, _ = profile_in_force(str(tmp_path / "p.toml"))
    records = tuple(FrameRecord(place, place, "monotonic", 0, measured=Exposure(4.0**place)) for place in (0, 1))
    moments = moments_of(Bracket(records, Verdict.GOOD), known.response)
    maps = moments.known_maps(0, 1)
    found = [at(one.brighter, np.float32([0.1, 0.25, 0.4])) for one in maps]
    np.testing.assert_allclose(found, [[0.2, 0.5, 0.8]] * 3, atol=2e-3)
