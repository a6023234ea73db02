from pathlib import Path

import numpy as np
import pytest

from livemef.capture.cameras.registry import open_camera
from livemef.capture.errors import CaptureError, EndOfStream
from livemef.capture.files.image_io import write_picture
from livemef.capture.frame import Bracket, Frame, LabelSource, Verdict
from livemef.capture.session import open_session
from tests.capture.files.test_video import clip

LEVELS = {0: 30, 1: 90, 2: 200}


def play(uri: str, count: int | None = None) -> list[Frame]:
    """The first frames, or all, through the capture session."""
    camera = open_camera(uri)
    session = open_session(camera, "auto", 1.0, 50)
    camera.start()
    frames: list[Frame] = []
    try:
        while count is None or len(frames) < count:
            frame = session.next_frame(5)
            assert frame is not None
            frames.append(frame)
    except EndOfStream:
        pass
    camera.close()
    return frames


def footage(tmp_path: Path, order: list[int]) -> Path:
    return clip(tmp_path / "clip.mp4", [LEVELS[place] for place in order])


@pytest.mark.parametrize("order", [[0, 1], [1, 0], [0, 1, 2], [2, 0, 1]])
def test_frames_are_labelled_by_their_brightness(tmp_path: Path, order: list[int]) -> None:
    path = footage(tmp_path, 3 * order)
    frames = play(f"file://{path}?exposures={len(order)}&ev=2&pace=stepped")
    assert [frame.record.index for frame in frames] == 3 * order
    assert {frame.record.label_source for frame in frames} == {LabelSource.BRIGHTNESS}
    assert {frame.record.relative_light for frame in frames} == {4.0**place for place in order}
    assert {frame.record.exposure for frame in frames} == {None}
    assert {frame.record.response for frame in frames} == {"unknown"}
    records = sorted((frame.record for frame in frames[: len(order)]), key=lambda record: record.index or 0)
    assert Bracket(tuple(records), Verdict.GOOD).ev_gap == pytest.approx(2 * (len(order) - 1))


def test_the_order_may_be_stated_and_the_stops_unknown_or_unequal(tmp_path: Path) -> None:
    path = footage(tmp_path, 3 * [0, 1, 2, 1])
    frames = play(f"file://{path}?exposures=3&order=0,1,2,1&pace=fast")
    assert [frame.record.index for frame in frames] == 3 * [0, 1, 2, 1]
    assert {frame.record.label_source for frame in frames} == {LabelSource.NATIVE}
    assert {frame.record.light for frame in frames} == {None}
    stops = play(f"file://{path}?exposures=3&order=0,1,2,1&ev=1,3&pace=fast")
    assert {frame.record.light for frame in stops} == {1.0, 2.0, 16.0}


@pytest.mark.parametrize("order", [[0, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1], [0, 1, 0, 1, 0, 1, 1, 0, 1, 0, 1, 0, 1]])
def test_a_frame_missing_or_doubled_turns_no_later_frame_round(
    tmp_path: Path, order: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    uri = f"file://{footage(tmp_path, order)}?pace=stepped&loop=on"
    assert [frame.record.index for frame in play(uri, 2 * len(order))] == 2 * order
    assert "slip at frame" in caplog.text


def test_a_folder_of_numbered_pictures_keeps_its_depth(tmp_path: Path) -> None:
    for number in range(1, 12):
        write_picture(tmp_path / f"{number}.png", np.full((32, 32, 3), 4000 + 40000 * (number % 2), np.uint16))
    frames = play(f"file://{tmp_path}?exposures=2&fps=10&pace=fast")
    assert [frame.record.index for frame in frames] == [1, 0] * 5 + [1]
    assert frames[0].pixels.dtype == np.uint16
    assert frames[0].record.white_level == 65535
    assert frames[2].record.timestamp_ns - frames[0].record.timestamp_ns == 200_000_000


def test_each_lap_of_a_loop_is_an_epoch_of_its_own(tmp_path: Path) -> None:
    path = footage(tmp_path, [0, 1, 0])
    frames = play(f"file://{path}?loop=on&pace=fast", 7)
    assert [frame.record.index for frame in frames] == [0, 1, 0, 0, 1, 0, 0]
    assert [frame.record.epoch for frame in frames] == [0, 0, 0, 1, 1, 1, 2]
    assert [frame.record.sequence for frame in frames] == list(range(7))


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("exposures=3&ev=1,2,3", "ev must be one number, or 2"),
        ("exposures=3&order=0,1", "order must name each"),
        ("order=bright", "order=bright: expected places"),
        ("ev=zero", "expected a number from 0.1 to 12"),
        ("exposures=1", "whole number from 2"),
        ("exposure=2", "did you mean 'exposures'"),
        ("exposures=3", "do not alternate between 3 exposures"),
        ("exposures=8", "shorter than a cycle of 8"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, query: str, words: str) -> None:
    path = footage(tmp_path, 3 * [0, 1])
    with pytest.raises(CaptureError, match=words):
        open_camera(f"file://{path}?{query}")


def test_another_number_of_exposures_than_alternate_is_refused(tmp_path: Path) -> None:
    path = footage(tmp_path, 5 * [0, 1, 2])
    for wrong in (2, 4, 5):
        with pytest.raises(CaptureError, match=f"do not alternate between {wrong} exposures"):
            open_camera(f"file://{path}?exposures={wrong}")


def test_a_frame_of_another_size_is_refused_by_name(tmp_path: Path) -> None:
    for number, size in enumerate((32, 32, 40)):
        write_picture(tmp_path / f"{number}.png", np.full((size, size, 3), 50 + 100 * (number % 2), np.uint8))
    with pytest.raises(CaptureError, match=r"frame 2 \(2.png\) is 40x40"):
        play(f"file://{tmp_path}?exposures=2&pace=fast")
