"""A camera as a source of brackets: order, labels, ends, and pixels that may be kept."""

import itertools
from pathlib import Path

import numpy as np
import pytest

import livemef
from livemef.capture.bracket_camera import open_bracket_camera
from livemef.capture.errors import CameraStalled, CaptureError
from livemef.capture.files.bracket_recording import BracketRecorder, read_recording
from livemef.capture.frame import CapturedBracket

CAMERA = "sim://?size=64x48&fps=120&scene=bars&seed=3"
EXPOSURES = "500us,4ms"


def taken(uri: str, count: int, mode: str) -> list[CapturedBracket]:
    with open_bracket_camera(uri, EXPOSURES) as camera:
        return list(itertools.islice(camera.brackets(mode), count))  # type: ignore[arg-type]


def test_brackets_are_dark_to_bright_and_hold_what_was_planned() -> None:
    for bracket in taken(CAMERA, 6, "sliding"):
        assert [exposure.exposure_us for exposure in bracket.exposures if exposure] == pytest.approx(
            [500, 4000], rel=0.05
        )
        assert bracket.pixels[0].mean() < bracket.pixels[1].mean()
        assert [record.index for record in bracket.records] == [0, 1]


def test_sliding_brackets_share_frames_and_disjoint_ones_do_not() -> None:
    def numbers(mode: str) -> list[int]:
        return [record.sequence for bracket in taken(CAMERA, 6, mode) for record in bracket.records]

    assert len(set(numbers("disjoint"))) == 12
    assert len(set(numbers("sliding"))) < 12


def test_pixels_are_copies_and_read_only() -> None:
    first, *_, last = taken(CAMERA, 8, "disjoint")
    assert not any(pixels.flags.writeable for pixels in (*first.pixels, *last.pixels))
    assert not np.shares_memory(first.pixels[0], last.pixels[0])


def test_a_finite_source_ends_and_comes_back_as_it_was_recorded(tmp_path: Path) -> None:
    with open_bracket_camera(CAMERA, EXPOSURES) as camera, BracketRecorder(tmp_path / "r", camera.info) as recorder:
        brackets = list(itertools.islice(camera.brackets(), 5))
        for bracket in brackets:
            recorder.write(bracket)
    read = list(read_recording(tmp_path / "r"))
    assert [bracket.bracket for bracket in read] == [bracket.bracket for bracket in brackets]
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(read, brackets, strict=True))
    with open_bracket_camera(f"file://{tmp_path}/r?pace=fast") as replay:
        assert len(list(replay.brackets())) == 5
        assert list(replay.brackets()) == []


def test_a_stall_is_an_error() -> None:
    with (
        open_bracket_camera(f"{CAMERA}&stall=0.1&stall_time=2s", EXPOSURES, frame_limit_s=0.5) as camera,
        pytest.raises(CameraStalled),
    ):
        list(camera.brackets())


def test_a_camera_that_cannot_be_used_is_closed() -> None:
    class Single:
        closed = False

        def __init__(self) -> None:
            self.info = livemef.CameraInfo("one://", "one", 8, 8, "uint8", 30, livemef.CameraLimits(1, 1000))

        def close(self) -> None:
            self.closed = True

    camera = Single()
    with pytest.raises(CaptureError, match="suggests no exposures"):
        livemef.open_camera(camera, exposures="auto")  # type: ignore[arg-type]
    assert camera.closed


def test_after_closing_nothing_is_read() -> None:
    with open_bracket_camera(CAMERA, EXPOSURES) as camera:
        pass
    with pytest.raises(CaptureError, match="has been closed"):
        next(camera.brackets())
