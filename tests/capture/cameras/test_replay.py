from __future__ import annotations

import itertools
import os
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from livemef.capture.cameras.base import Camera
from livemef.capture.cameras.registry import open_camera
from livemef.capture.errors import CameraStalled, CaptureError, EndOfStream
from livemef.capture.files.bracket_folder import estimated_ratio, find_brackets
from livemef.capture.files.image_io import write_picture
from livemef.capture.files.recording import Recording, RecordingWriter
from livemef.capture.frame import Bracket, Exposure, Frame, Pixels, Verdict
from livemef.capture.srgb import encode


def scene(light: float, size: tuple[int, int] = (80, 60), seed: int = 3) -> Pixels:
    """A picture whose linear values are proportional to `light` until they clip."""
    noise = np.random.default_rng(seed).random((size[1], size[0], 3)).astype(np.float32)
    smooth = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 5), None, 0.05, 1.0, cv2.NORM_MINMAX)
    linear = np.clip(light * smooth, 0, 1)
    encoded = encode(linear)
    return np.round(255 * encoded).astype(np.uint8)


def bracket(folder: Path, names: tuple[str, ...] = ("under.png", "over.png"), **keywords: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for step, name in enumerate(names):
        write_picture(folder / name, scene(0.2 * 4.0**step, **keywords))  # type: ignore[arg-type]
    return folder


def play(uri: str, count: int) -> list[Frame]:
    source = open_camera(uri)
    source.start()
    frames = [source.read(5) for _ in range(count)]
    source.close()
    return frames


def test_a_bracket_alternates_dark_to_bright_for_ever(tmp_path: Path) -> None:
    frames = play(f"file://{bracket(tmp_path)}?pace=stepped", 7)
    assert [frame.record.native_index for frame in frames] == [0, 1, 0, 1, 0, 1, 0]
    assert [frame.record.sequence for frame in frames] == list(range(7))
    assert {frame.record.measured for frame in frames} == {None}
    assert {frame.record.epoch for frame in frames} == {0}
    assert np.array_equal(frames[4].pixels, scene(0.2))
    assert np.array_equal(frames[5].pixels, scene(0.8))
    assert np.diff([frame.record.timestamp_ns for frame in frames]) == pytest.approx(1e9 / 30, abs=2)


@pytest.mark.parametrize(
    "names", [("under.jpg", "over.jpg"), ("over.png", "under.png"), ("b.png", "a.png"), ("2.tif", "1.tif", "0.tif")]
)
def test_without_exif_the_order_is_by_brightness_whatever_the_names(tmp_path: Path, names: tuple[str, ...]) -> None:
    found = find_brackets(bracket(tmp_path, names))
    assert [path.name for path in found[0].files] == list(names)


def with_exif(path: Path, seconds: float, pixels: Pixels) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x829A] = IFDRational(seconds).limit_rational(10000)
    exif.get_ifd(0x8769)[0x829A] = IFDRational(round(seconds * 10000), 10000)
    Image.fromarray(pixels[..., ::-1]).save(path, exif=exif, quality=95)


def test_exif_gives_order_and_exposures(tmp_path: Path) -> None:
    # the longer exposure is the darker picture here, so brightness would order them the other way round
    with_exif(tmp_path / "a.jpg", 0.02, scene(0.1))
    with_exif(tmp_path / "b.jpg", 0.001, scene(0.8))
    source = open_camera(f"file://{tmp_path}?pace=stepped")
    source.start()
    assert source.info.reports_exposure
    assert source.info.plan == (Exposure(1000.0), Exposure(20000.0))
    first, second = source.read(1), source.read(1)
    assert (first.record.measured, second.record.measured) == source.info.plan
    assert first.pixels.mean() > second.pixels.mean()


def test_without_exif_the_plan_is_estimated_from_the_pictures(tmp_path: Path) -> None:
    source = open_camera(f"file://{bracket(tmp_path)}?fps=25")
    dark, bright = source.info.plan
    assert not source.info.reports_exposure
    assert bright.ev_above(dark) == pytest.approx(2.0, abs=0.1)
    assert bright.exposure_us <= 40000


def test_the_ratio_is_estimated_from_what_both_pictures_show() -> None:
    assert estimated_ratio(scene(0.1), scene(0.8)) == pytest.approx(8, rel=0.05)
    assert estimated_ratio(scene(0.2), scene(1.6)) == pytest.approx(8, rel=0.1)
    black, white = np.zeros((60, 80, 3), np.uint8), np.full((60, 80, 3), 255, np.uint8)
    assert estimated_ratio(black, white) == 4.0


def test_a_folder_of_brackets_is_cycled_and_scenes_are_kept_apart(tmp_path: Path) -> None:
    for number, name in enumerate(("a", "b", "c")):
        bracket(tmp_path / name, seed=number)
    frames = play(f"file://{tmp_path}?pace=stepped&fps=10&hold=400ms", 26)
    assert [frame.record.epoch for frame in frames] == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4 + [4] * 4 + [5] * 4 + [
        6
    ] * 2
    assert [frame.record.native_index for frame in frames[:8]] == [0, 1] * 4
    for frame in frames:
        seed = frame.record.epoch % 3
        assert np.array_equal(frame.pixels, scene(0.2 * 4 ** (frame.record.native_index or 0), seed=seed))


def test_loop_off_ends(tmp_path: Path) -> None:
    source = open_camera(f"file://{bracket(tmp_path)}?pace=fast&loop=off")
    source.start()
    assert [source.read(1).record.native_index for _ in range(2)] == [0, 1]
    with pytest.raises(EndOfStream):
        source.read(1)
    with pytest.raises(EndOfStream):
        source.read(1)


def test_brackets_of_different_sizes_are_refused_unless_scaled(tmp_path: Path) -> None:
    bracket(tmp_path / "a")
    bracket(tmp_path / "b", size=(64, 64))
    with pytest.raises(CaptureError, match=r"80x60 and 64x64: add size="):
        open_camera(f"file://{tmp_path}")
    frames = play(f"file://{tmp_path}?size=32x24&hold=0s&pace=stepped", 4)
    assert {frame.pixels.shape for frame in frames} == {(24, 32, 3)}
    whole = cv2.resize(scene(0.2), (32, 24), interpolation=cv2.INTER_AREA)
    assert np.array_equal(frames[0].pixels, whole)


def test_relative_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bracket(tmp_path / "pictures" / "Studio")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    assert play("file://../pictures/Studio?pace=fast", 1)[0].record.native_index == 0
    monkeypatch.chdir(tmp_path / "pictures")
    assert play("file://./Studio?pace=fast", 1)[0].record.native_index == 0
    assert play("file://Studio?pace=fast", 1)[0].record.native_index == 0


def refused(uri: str, capfd: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(CaptureError) as caught:
        open_camera(uri)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""
    return str(caught.value)


@pytest.mark.parametrize("name", ["over.png", "over.jpg", "over.webp", "over.tif"])
def test_broken_pictures_are_refused_when_opening(tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    bracket(tmp_path, ("under.png", name))
    data = (tmp_path / name).read_bytes()
    for broken in (data[: len(data) // 2], data[:-5], b"", b"this is no picture"):
        (tmp_path / name).write_bytes(broken)
        assert name in refused(f"file://{tmp_path}", capfd)


def test_bad_folders_are_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert "names no folder" in refused("file://", capfd)
    assert "no such folder" in refused(f"file://{tmp_path}/nowhere", capfd)
    (tmp_path / "file").touch()
    assert "not a whole video" in refused(f"file://{tmp_path}/file", capfd)
    (tmp_path / "empty").mkdir()
    assert "holds no pictures" in refused(f"file://{tmp_path}/empty", capfd)
    assert "two pictures or more" in refused(f"file://{bracket(tmp_path / 'one', ('over.png',))}", capfd)
    sizes = bracket(tmp_path / "sizes", ("under.png",))
    write_picture(sizes / "over.png", scene(1.0, (70, 60)))
    assert "80x60" in refused(f"file://{sizes}", capfd)
    depths = bracket(tmp_path / "depths", ("under.png",))
    write_picture(depths / "over.png", scene(1.0).astype(np.uint16) * 257)
    assert "one depth" in refused(f"file://{depths}", capfd)
    assert "did you mean 'loop'" in refused(f"file://{bracket(tmp_path / 'good')}?lop=on", capfd)


def test_frames_cannot_be_changed_under_the_next_round(tmp_path: Path) -> None:
    frame = play(f"file://{bracket(tmp_path)}?pace=fast", 1)[0]
    with pytest.raises(ValueError, match="read-only"):
        frame.pixels[0, 0] = 7


def record(folder: Path, brackets: int = 6, drop: bool = False) -> Recording:
    faults = "&drop=0.3" if drop else ""
    source = open_camera(f"sim://?size=48x32&scene=bars&pace=stepped&fps=50{faults}")
    source.start()
    with RecordingWriter(folder, source.info) as writer:
        before = source.read(1)
        for number in range(brackets):
            source.request(source.info.plan[number % 2])
            frame = source.read(1)
            writer.accept(Bracket((before.record, frame.record), Verdict.GOOD), (before, frame), timeout_s=30)
            before = frame
    return Recording(folder)


def test_a_recording_is_played_with_its_pixels_and_labels(tmp_path: Path) -> None:
    recording = record(tmp_path / "r", drop=True)
    source = open_camera(f"file://{tmp_path}/r?pace=stepped")
    source.start()
    assert not source.info.can_request
    assert source.info.plan == recording.info.plan
    for expected in recording:
        frame = source.read(1)
        assert np.array_equal(frame.pixels, expected.pixels)
        assert frame.record.sequence == expected.record.sequence
        assert frame.record.measured == expected.record.measured
        assert frame.record.clock == "replay"
    with pytest.raises(EndOfStream):
        source.read(1)
    with pytest.raises(CaptureError, match="from disk"):
        source.request(Exposure(1000.0))


def test_a_looped_recording_goes_on_counting_in_new_epochs(tmp_path: Path) -> None:
    recording = record(tmp_path / "r")
    count = len(recording)
    frames = play(f"file://{tmp_path}/r?pace=fast&loop=on", 2 * count + 1)
    assert (np.diff([frame.record.sequence for frame in frames]) == 1).all()
    assert (np.diff([frame.record.timestamp_ns for frame in frames]) > 0).all()
    assert [frame.record.epoch for frame in frames] == [0] * count + [1] * count + [2]
    assert np.array_equal(frames[count].pixels, frames[0].pixels)


def reported_arrivals(source: Camera, count: int) -> list[int]:
    source.start()
    return [source.read(5).record.received_ns for _ in range(count)]


def test_recorded_times_are_kept(tmp_path: Path) -> None:
    began = time.monotonic_ns()
    arrivals = reported_arrivals(open_camera(f"file://{bracket(tmp_path / 'b')}?fps=40"), 8)
    assert arrivals[-1] - began >= 6.5 * 25e6
    source = open_camera("sim://?size=48x32&scene=flat&fps=40")
    source.start()
    with RecordingWriter(tmp_path / "r", source.info) as writer:
        frames = [source.read(1) for _ in range(8)]
        for pair in itertools.pairwise(frames):
            writer.accept(Bracket(tuple(frame.record for frame in pair), Verdict.GOOD), pair, timeout_s=30)
    recorded = [frame.record.received_ns for frame in Recording(tmp_path / "r")]
    played = open_camera(f"file://{tmp_path}/r?pace=recorded")
    began = time.monotonic_ns()
    played.start()
    again = [played.read(5).record for _ in range(8)]
    assert again[-1].received_ns - began >= recorded[-1] - recorded[0] - 25e6
    for first, second in zip(frames, again, strict=True):
        # as long after the light as it was recorded, or later, on the clock of now
        assert second.received_ns - second.timestamp_ns >= first.record.received_ns - first.record.timestamp_ns
    assert {record.clock for record in again} == {"monotonic"}


def test_waiting_has_a_limit_and_a_late_reader_loses_frames(tmp_path: Path) -> None:
    source = open_camera(f"file://{bracket(tmp_path)}?fps=0.5")
    source.start()
    with pytest.raises(CameraStalled):
        source.read(0.05)
    quick = open_camera(f"file://{tmp_path}?fps=100")
    quick.start()
    quick.read(1)
    time.sleep(0.2)
    assert quick.read(1).record.sequence >= 14


def test_first_and_last_frame_of_a_recording_wait_for_a_late_reader(tmp_path: Path) -> None:
    recording = record(tmp_path / "r")
    source = open_camera(f"file://{tmp_path}/r?pace=recorded")
    source.start()
    time.sleep(0.4)
    assert source.read(1).record.sequence == recording.records[0].sequence
    assert source.read(1).record.sequence == recording.records[-1].sequence
    with pytest.raises(EndOfStream):
        source.read(1)


def test_a_picture_that_vanishes_is_an_error_in_one_line(tmp_path: Path) -> None:
    recording = record(tmp_path / "r")
    source = open_camera(f"file://{tmp_path}/r?pace=stepped")
    source.start()
    recording.files[2].unlink()
    source.read(1)
    source.read(1)
    with pytest.raises(CaptureError, match=recording.files[2].name):
        source.read(1)


def test_a_hundred_openings_leave_nothing_behind(tmp_path: Path) -> None:
    bracket(tmp_path)

    def handles() -> tuple[int, int]:
        return len(os.listdir("/proc/self/fd")), threading.active_count()

    play(f"file://{tmp_path}?pace=fast", 1)
    before = handles()
    for _ in range(100):
        play(f"file://{tmp_path}?pace=fast", 2)
    assert handles() == before
