"""What a program imports: the public names of livemef, and how quickly."""

import importlib
import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import livemef
from livemef.calibration.profile import DelaySection, new_profile, now, save_profile
from tests.tools.command import bracket

HEAVY = ("cv2", "onnxruntime", "torch", "zmq", "numpy", "pydantic", "PIL")


def test_every_public_name_is_there_and_described() -> None:
    for name in livemef.__all__:
        value = getattr(livemef, name)
        assert value.__doc__, name
        assert name in dir(livemef)
    assert sorted(livemef.__all__) == livemef.__all__
    assert not hasattr(livemef, "no_such_name")


def test_every_error_is_a_livemef_error() -> None:
    errors = [value for name in livemef.__all__ if isinstance(value := getattr(livemef, name), type)]
    errors = [value for value in errors if issubclass(value, Exception)]
    assert len(errors) >= 8
    assert all(issubclass(error, livemef.LivemefError) for error in errors)
    user_error = importlib.import_module("livemef.tools.exits").UserError
    assert issubclass(user_error, livemef.LivemefError)


def test_importing_is_quick_and_says_nothing() -> None:
    code = f"import sys, livemef; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""


def test_the_package_logs_nothing_of_itself() -> None:
    assert any(isinstance(handler, logging.NullHandler) for handler in logging.getLogger("livemef").handlers)


def test_arrays_are_fused_in_any_order_and_left_alone() -> None:
    under, over = bracket()
    before = under.copy(), over.copy()
    fused = livemef.fuse([under, over])
    np.testing.assert_array_equal(fused, livemef.fuse([over, under]))
    np.testing.assert_array_equal((under, over), before)
    assert fused.shape == under.shape
    assert fused.dtype == np.uint8
    assert under.mean() < fused.mean() < over.mean()


def test_what_cannot_be_fused_is_one_line() -> None:
    under, over = bracket()
    with pytest.raises(livemef.LivemefError, match="64x48 uint8"):
        livemef.fuse([under, over[:, ::2]])
    with pytest.raises(livemef.LivemefError, match="at least two"):
        livemef.fuse([under])


def test_a_pipeline_of_ones_own(tmp_path: Path) -> None:
    """Camera, fuser, publisher, subscriber, recorder: the pixels and exposures are the same at each end."""
    endpoint = f"ipc://{tmp_path}/link"
    with (
        livemef.open_camera("sim://?size=320x240&scene=chart", exposures="1ms,16ms") as camera,
        livemef.open_fuser() as fuser,
        livemef.BracketPublisher(endpoint, frame_id="bench") as publisher,
        livemef.subscribe(endpoint, timeout_s=30) as messages,
        livemef.BracketRecorder(tmp_path / "taken", camera.info) as recorder,
    ):
        brackets = camera.brackets()
        for bracket in brackets:
            recorder.write(bracket)
            fused = fuser.fuse(bracket)
            if publisher.publish(bracket, fused, fuser):
                break
        message = next(messages)
    np.testing.assert_array_equal(message.pixels, fused.pixels)
    assert not message.pixels.flags.writeable
    assert message.header.frame_id == "bench"
    assert [exposure.exposure_us for exposure in bracket.exposures if exposure] == pytest.approx(
        [1000, 16000], rel=0.01
    )
    assert [source.seq for source in message.header.sources] == [record.sequence for record in bracket.records]
    *_, last = livemef.read_recording(tmp_path / "taken")
    assert last.bracket == bracket.bracket
    np.testing.assert_array_equal(last.pixels, bracket.pixels)


def test_a_profile_is_used_and_that_of_another_camera_refused(tmp_path: Path) -> None:
    camera = "sim://?size=320x240&scene=chart&seed=1&delay=3"
    with livemef.open_camera(camera) as opened:
        profile = new_profile(opened.info.identity)
    section = DelaySection(date=now(), exposure_delay=5, gain_delay=5, trials=4, agreeing=4, separation=9.0)
    save_profile(tmp_path / "camera.toml", replace(profile, delay=section))
    with livemef.open_camera(camera, profile=tmp_path / "camera.toml") as opened:
        assert (opened.info.exposure_delay, opened.delays.exposure) == (3, 5)
    with pytest.raises(livemef.LivemefError, match="take its own profile"):
        livemef.open_camera(camera.replace("seed=1", "seed=2"), profile=tmp_path / "camera.toml")
