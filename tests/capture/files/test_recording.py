from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livemef.capture.cameras.base import CameraInfo, CameraLimits
from livemef.capture.errors import CaptureError
from livemef.capture.files.recording import BRACKETS_FILE, FRAMES_FILE, Recording, RecordingWriter, is_recording
from livemef.capture.frame import Bracket, Exposure, Frame, FrameFlag, FrameRecord, LabelSource, Verdict
from livemef.capture.transport.frame_json import info_from_dict, info_to_dict, record_from_dict, record_to_dict
from tests.quick import quick

PLAN = (Exposure(1000.0), Exposure(16000.0, 2.0))


def camera_info(dtype: str = "uint8") -> CameraInfo:
    limits = CameraLimits(10.0, 33000.0, 10.0, 1.0, 16.0)
    return CameraInfo("sim://", "a camera", 32, 24, dtype, 30.0, limits, 2, 1, True, True, "realtime", PLAN)


def frame(sequence: int, dtype: str = "uint8") -> Frame:
    index = sequence % 2
    record = FrameRecord(
        sequence=sequence,
        timestamp_ns=sequence * 33_333_333 + 17,
        clock="monotonic",
        received_ns=sequence * 33_333_333 + 40_000_000,
        measured=PLAN[index],
        requested=PLAN[index],
        index=index,
        label_source=LabelSource.METADATA,
        confidence=1.0,
        flags=FrameFlag.AFTER_DROP if sequence % 5 == 0 else FrameFlag.NONE,
    )
    pixels = np.random.default_rng(sequence).integers(0, np.iinfo(dtype).max, (24, 32, 3), dtype=dtype, endpoint=True)
    return Frame(record, pixels)


def sliding(first: int, dtype: str = "uint8") -> tuple[Bracket, list[Frame]]:
    pair = sorted((frame(first, dtype), frame(first + 1, dtype)), key=lambda f: f.record.index or 0)
    return Bracket(tuple(f.record for f in pair), Verdict.GOOD), pair


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_what_is_read_is_what_was_written(tmp_path: Path, dtype: str) -> None:
    with RecordingWriter(tmp_path / "new" / "r", camera_info(dtype)) as writer:
        for first in range(9):
            assert writer.accept(*sliding(first, dtype), timeout_s=30)
    recording = Recording(tmp_path / "new" / "r")
    assert recording.info == camera_info(dtype)
    assert is_recording(recording.folder)
    # sliding brackets share frames: ten frames make nine brackets
    assert len(recording) == 10
    for expected, got in zip((frame(n, dtype) for n in range(10)), recording, strict=True):
        assert got.record == expected.record
        assert got.pixels.dtype == expected.pixels.dtype
        assert np.array_equal(got.pixels, expected.pixels)
    assert [b.frames for b in recording.brackets] == [(n, n + 1) if n % 2 == 0 else (n + 1, n) for n in range(9)]


def test_the_pixels_are_copied_before_accept_returns(tmp_path: Path) -> None:
    bracket, frames = sliding(0)
    kept = [f.pixels.copy() for f in frames]
    with RecordingWriter(tmp_path / "r", camera_info()) as writer:
        assert writer.accept(bracket, frames)
        for f in frames:
            f.pixels[:] = 0
    assert all(np.array_equal(a.pixels, b) for a, b in zip(Recording(tmp_path / "r"), kept, strict=True))


def test_a_full_queue_refuses_and_counts_and_loses_nothing_accepted(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path / "r", camera_info(), queue_brackets=1) as writer:
        answers = [writer.accept(*sliding(2 * n)) for n in range(40)]
    assert writer.brackets_accepted == sum(answers) > 0
    assert writer.brackets_refused == 40 - sum(answers) > 0
    expected = [2 * n + place for n, taken in enumerate(answers) if taken for place in (0, 1)]
    assert [record.sequence for record in Recording(tmp_path / "r").records] == expected


def write_forever(folder: str, counter: multiprocessing.sharedctypes.Synchronized[int]) -> None:  # type: ignore[name-defined]
    writer = RecordingWriter(folder, camera_info(), queue_brackets=4)
    for first in range(1_000_000):
        writer.accept(*sliding(first), timeout_s=30)
        counter.value = first + 1


@pytest.mark.parametrize("patience", quick([0.11, 0.05, 0.23], 1))
def test_a_recording_survives_kill_9(tmp_path: Path, patience: float) -> None:
    context = multiprocessing.get_context("spawn")
    accepted = context.Value("i", 0)
    process = context.Process(target=write_forever, args=(str(tmp_path / "r"), accepted))
    process.start()
    deadline = time.monotonic() + 30
    while accepted.value < 10 and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(patience)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(30)
    recording = Recording(tmp_path / "r")
    # all but what was still queued (4), in the writer's hands (1) or about to be counted (1)
    assert accepted.value - 5 <= len(recording.brackets) <= accepted.value + 1
    assert all(np.array_equal(got.pixels, frame(n).pixels) for n, got in enumerate(recording))


@given(cut=st.integers(0, 4000))
def test_lists_cut_anywhere_give_the_brackets_before_the_cut(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    folder = tmp_path_factory.mktemp("cut") / "r"
    with RecordingWriter(folder, camera_info()) as writer:
        for first in range(4):
            writer.accept(*sliding(first), timeout_s=30)
    whole = (folder / BRACKETS_FILE).read_bytes()
    kept = whole[: cut % (len(whole) + 1)]
    (folder / BRACKETS_FILE).write_bytes(kept)
    if b"\n" in kept:
        assert len(Recording(folder).brackets) == kept.count(b"\n")
    else:
        with pytest.raises(CaptureError, match="no complete bracket"):
            Recording(folder)


def test_damaged_recordings_are_refused_in_one_line(tmp_path: Path) -> None:
    def damaged(name: str, file: str, text: str) -> str:
        folder = tmp_path / name
        with RecordingWriter(folder, camera_info()) as writer:
            writer.accept(*sliding(0), timeout_s=30)
        (folder / file).write_text(text)
        with pytest.raises(CaptureError) as caught:
            for _ in Recording(folder):
                pass
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "not JSON" in damaged("a", "recording.json", "{")
    assert "not that of a recording" in damaged("b", "recording.json", "[]")
    assert "version 9" in damaged("c", "recording.json", '{"format": "livemef-recording", "version": 9}')
    assert "line 1" in damaged("d", FRAMES_FILE, "{}\n")
    assert "line 2" in damaged("e", BRACKETS_FILE, '{"frames": [0, 1], "verdict": "good"}\nnonsense\n')
    assert "is no bracket" in damaged("f", BRACKETS_FILE, '{"frames": [0, 7], "verdict": "good"}\n')
    assert "00000000.png" in damaged("g", "frames/00000000.png", "")
    assert "outside" in damaged("h", FRAMES_FILE, json.dumps({"file": "../../x.png", "record": {}}) + "\n")


def test_a_folder_in_use_and_an_impossible_one_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CaptureError, match="not empty"):
        RecordingWriter(tmp_path, camera_info())
    with pytest.raises(CaptureError, match="file"):
        RecordingWriter(tmp_path / "file" / "r", camera_info())
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_failing_disk_is_told_and_nothing_hangs(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path / "r", camera_info(), queue_brackets=2)
    writer.accept(*sliding(0), timeout_s=30)
    lists = tmp_path / "r" / BRACKETS_FILE
    deadline = time.monotonic() + 30
    while not (lists.exists() and lists.read_text()) and time.monotonic() < deadline:
        time.sleep(0.01)
    for file in (tmp_path / "r" / "frames").iterdir():
        file.unlink()
    (tmp_path / "r" / "frames").rmdir()

    def write_on() -> None:
        for first in range(2, 100):
            writer.accept(*sliding(first), timeout_s=30)

    with pytest.raises(CaptureError, match="cannot write"):
        write_on()
    with pytest.raises(CaptureError, match="cannot write"):
        writer.close()


exposures = st.builds(Exposure, st.floats(1e-3, 1e7), st.floats(1.0, 64.0))
records = st.builds(
    FrameRecord,
    sequence=st.integers(0, 2**62),
    timestamp_ns=st.integers(0, 2**62),
    clock=st.sampled_from(["monotonic", "boottime"]),
    received_ns=st.integers(0, 2**62),
    timestamp_reference=st.sampled_from(["start", "end"]),
    measured=st.none() | exposures,
    native_index=st.none() | st.integers(0, 8),
    requested=st.none() | exposures,
    index=st.none() | st.integers(0, 8),
    label_source=st.sampled_from(LabelSource),
    confidence=st.floats(0, 1),
    epoch=st.integers(0, 1000),
    flags=st.lists(st.sampled_from([f for f in FrameFlag if f])).map(
        lambda flags: FrameFlag(sum({f.value for f in flags}))
    ),
)


@given(record=records)
def test_records_pass_through_json_unchanged(record: FrameRecord) -> None:
    assert record_from_dict(json.loads(json.dumps(record_to_dict(record)))) == record


def test_camera_descriptions_pass_through_json_unchanged() -> None:
    assert info_from_dict(json.loads(json.dumps(info_to_dict(camera_info())))) == camera_info()


@given(
    data=st.dictionaries(
        st.sampled_from([*record_to_dict(frame(0).record), "unknown"]),
        st.none() | st.integers() | st.text(max_size=3) | st.lists(st.text(max_size=2), max_size=2),
    )
)
def test_malformed_records_are_capture_errors(data: dict[str, object]) -> None:
    # every key that has no default is missing from some: a record, or the one kind of error
    try:
        record = record_from_dict(data)
    except CaptureError:
        return
    assert record_from_dict(record_to_dict(record)) == record
