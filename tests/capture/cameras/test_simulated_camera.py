from __future__ import annotations

import itertools
import os
import threading
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livemef.capture.cameras.base import CameraLimits
from livemef.capture.cameras.registry import open_camera
from livemef.capture.cameras.simulated import SimulatedCamera
from livemef.capture.cameras.simulation.controls import DelayedControls
from livemef.capture.cameras.simulation.faults import frame_faults, request_ignored
from livemef.capture.cameras.simulation.settings import PARAMETERS, SimulatedSettings, read_settings
from livemef.capture.errors import CameraStalled, CaptureError
from livemef.capture.frame import Exposure, Frame
from livemef.capture.srgb import decode
from livemef.capture.uri import parse_uri

SMALL = "size=64x48&scene=flat"


def camera(query: str = "", pace: str = "stepped") -> SimulatedCamera:
    opened = open_camera(f"sim://?{SMALL}&pace={pace}" + (f"&{query}" if query else ""))
    assert isinstance(opened, SimulatedCamera)
    opened.start()
    return opened


def read(source: SimulatedCamera, count: int, timeout_s: float = 5.0) -> list[Frame]:
    return [source.read(timeout_s) for _ in range(count)]


def test_stepped_frames_come_one_by_one_with_times_and_truth() -> None:
    source = camera("fps=25")
    frames = read(source, 20)
    assert [frame.record.sequence for frame in frames] == list(range(20))
    assert {frame.record.clock for frame in frames} == {"simulated"}
    assert [truth.sequence for truth in source.truth] == list(range(20))
    for frame, truth in zip(frames, source.truth, strict=True):
        assert frame.record.measured == truth.exposure
        assert frame.record.timestamp_reference == "start"
    ends = [
        frame.record.timestamp_ns + frame.record.measured.exposure_us * 1e3 for frame in frames if frame.record.measured
    ]
    assert np.diff(ends) == pytest.approx(40e6, abs=2)


@pytest.mark.parametrize(("delay", "gain_delay"), [(0, 0), (2, 1), (1, 4), (6, 6)])
def test_time_and_gain_take_effect_each_after_its_own_delay(delay: int, gain_delay: int) -> None:
    source = camera(f"delay={delay}&gain_delay={gain_delay}")
    before = read(source, 5)[-1].record.measured
    assert before is not None
    source.request(Exposure(2000.0, 3.0))
    after = [frame.record.measured for frame in read(source, 10)]
    for distance, measured in enumerate(after, start=1):
        assert measured is not None
        assert measured.exposure_us == (2000.0 if distance > delay else before.exposure_us)
        assert measured.gain == (3.0 if distance > gain_delay else before.gain)
    assert (source.info.exposure_delay, source.info.gain_delay) == (delay, gain_delay)


def test_the_picture_follows_the_exposure() -> None:
    source = camera("delay=0&gain_delay=0&read_noise=0&column_noise=0&row_noise=0&prnu=0&bits=16")

    def light(exposure: Exposure) -> float:
        source.request(exposure)
        code = source.read(5).pixels.mean() / 65535
        return float(decode(code))

    assert light(Exposure(8000.0)) == pytest.approx(0.25, rel=0.02)
    assert light(Exposure(4000.0)) == pytest.approx(0.125, rel=0.02)
    assert light(Exposure(4000.0, 4.0)) == pytest.approx(0.5, rel=0.02)


def test_requests_are_clipped_and_quantised_and_reported_as_they_are() -> None:
    source = camera("exposure=100us..20ms&gain=1..8&step=30us&delay=0&gain_delay=0")

    def given_for(exposure: Exposure) -> Exposure | None:
        source.request(exposure)
        return source.read(5).record.measured

    assert given_for(Exposure(1.0, 0.1)) == Exposure(90.0, 1.0)
    assert given_for(Exposure(1e9, 99.0)) == Exposure(20010.0, 8.0)
    assert given_for(Exposure(1000.0, 2.0)) == Exposure(990.0, 2.0)


def test_without_metadata_nothing_is_reported() -> None:
    source = camera("metadata=off")
    assert not source.info.reports_exposure
    assert all(frame.record.measured is None for frame in read(source, 5))
    assert source.truth[-1].exposure.exposure_us > 0


def test_two_runs_are_the_same_and_another_seed_is_not() -> None:
    faults = "drop=0.2&duplicate=0.2&jitter=1ms"
    first, second, other = (read(camera(f"{faults}&seed={seed}"), 12) for seed in (5, 5, 6))
    assert [f.record.sequence for f in first] == [f.record.sequence for f in second]
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(first, second, strict=True))
    assert not np.array_equal(first[0].pixels, other[0].pixels)


def test_dropped_frames_are_gaps() -> None:
    numbers = [frame.record.sequence for frame in read(camera("drop=0.3"), 300)]
    assert numbers[0] == 0
    assert (np.diff(numbers) >= 1).all()
    assert 1 - 300 / (numbers[-1] + 1) == pytest.approx(0.3, abs=0.08)


def test_duplicated_frames_come_twice_and_are_the_same() -> None:
    frames = read(camera("duplicate=0.3"), 300)
    again = [(a, b) for a, b in itertools.pairwise(frames) if a.record.sequence == b.record.sequence]
    assert len(again) / 300 == pytest.approx(0.3 / 1.3, abs=0.08)
    for first, second in again:
        assert first.record.timestamp_ns == second.record.timestamp_ns
        assert np.array_equal(first.pixels, second.pixels)


def test_a_stall_is_an_error_with_a_short_time_limit_and_a_gap_with_a_long_one() -> None:
    short_limit = camera("stall=1&stall_time=1s&fps=30")
    short_limit.read(0.4)
    for _ in range(2):
        with pytest.raises(CameraStalled):
            short_limit.read(0.4)
    assert short_limit.read(0.4).record.sequence == 31
    long_limit = camera("stall=1&stall_time=1s&fps=30")
    assert [frame.record.sequence for frame in read(long_limit, 3)] == [0, 31, 62]


def test_a_reader_who_looks_again_and_again_has_a_frame_rendered_once() -> None:
    source = camera("fps=2", "realtime")
    rendered = []
    assert source._sensor is not None
    develop = source._sensor.develop
    source._sensor.develop = lambda raw, out=None: rendered.append(1) or develop(raw, out)  # type: ignore[method-assign, func-returns-value]
    for _ in range(5):
        with pytest.raises(CameraStalled):
            source.read(0.01)
    assert len(rendered) == 1
    source.request(Exposure(2000.0))  # may be of effect: the frame is rendered anew
    frame = source.read(5.0)
    assert len(rendered) == 2 or frame.record.sequence > 0  # on a machine so slow that the frame was lost
    assert source.truth[-1].sequence == frame.record.sequence


def test_a_frame_is_rendered_shortly_before_it_is_due() -> None:
    source = camera("fps=2", "realtime")
    source.read(5.0)
    began = []
    assert source._sensor is not None
    expose = source._sensor.expose

    def noted(*given: Any) -> Any:
        began.append((time.monotonic_ns(), source._lead.ns))  # the lead of now: this rendering changes it
        return expose(*given)

    source._sensor.expose = noted  # type: ignore[method-assign]
    for _ in range(3):
        number = source.read(5.0).record.sequence
        assert source._started_ns is not None
        at_ns, lead_ns = began[-1]
        assert at_ns >= source._due_ns(source._started_ns, number) - lead_ns


def test_a_stall_at_realtime_pace_lasts_its_time() -> None:
    source = camera("stall=1&stall_time=300ms&fps=50", "realtime")
    source.read(2)
    started = time.monotonic()
    with pytest.raises(CameraStalled):
        source.read(0.1)
    assert source.read(5).record.sequence >= 16
    assert time.monotonic() - started > 0.25


def test_jitter_moves_timestamps_and_keeps_their_order() -> None:
    frames = read(camera("jitter=20ms"), 200)
    times = np.array([frame.record.timestamp_ns for frame in frames])
    assert (np.diff(times) > 0).all()
    assert np.diff(times).std() > 5e6


def test_ignored_requests_and_silent_clipping() -> None:
    source = camera("ignore=0.4&delay=0&gain_delay=0&clip=6ms")
    assert source.info.limits.exposure_max_us > 6000
    followed = 0
    for number in range(200):
        asked = Exposure(1000.0 + 10 * number)
        source.request(asked)
        measured = source.read(5).record.measured
        followed += measured == asked
    assert followed / 200 == pytest.approx(0.6, abs=0.12)
    for _ in range(20):
        source.request(Exposure(20000.0))
        measured = source.read(5).record.measured
        assert measured is not None
        assert measured.exposure_us <= 6000


@given(
    delay=st.integers(0, 6),
    gain_delay=st.integers(0, 6),
    requests=st.lists(st.tuples(st.integers(1, 300), st.integers(1, 8)), min_size=1, max_size=60),
)
def test_delayed_controls_give_each_frame_the_newest_request_that_can_reach_it(
    delay: int, gain_delay: int, requests: list[tuple[int, int]]
) -> None:
    controls = DelayedControls(Exposure(5000.0), CameraLimits(10.0, 30000.0, 10.0, 1.0, 8.0), delay, gain_delay)
    asked = [Exposure(100.0 * time_, float(gain)) for time_, gain in requests]
    for frame in range(len(asked) + 8):
        time_from, gain_from = frame - delay - 1, frame - gain_delay - 1
        expected_time = asked[min(time_from, len(asked) - 1)].exposure_us if time_from >= 0 else 5000.0
        expected_gain = asked[min(gain_from, len(asked) - 1)].gain if gain_from >= 0 else 1.0
        assert controls.in_force(frame) == Exposure(expected_time, expected_gain)
        if frame < len(asked):
            controls.request(asked[frame], frame)


@given(seed=st.integers(0, 1000), frame=st.integers(1, 10**9))
def test_faults_depend_on_seed_and_number_alone(seed: int, frame: int) -> None:
    chosen = SimulatedSettings(drop=0.5, duplicate=0.5, stall=0.5, jitter=5000.0, ignore=0.5, seed=seed)
    assert frame_faults(chosen, frame) == frame_faults(chosen, frame)
    assert request_ignored(chosen, frame) == request_ignored(chosen, frame)
    first = frame_faults(chosen, 0)
    assert [first.dropped, first.duplicated, first.stalls] == [False, False, False]


def test_realtime_frames_keep_their_schedule() -> None:
    began = time.monotonic_ns()
    source = camera("fps=50&readout=0us", "realtime")
    frames = read(source, 10)
    for frame in frames:
        assert frame.record.clock == "monotonic"
        measured = frame.record.measured
        assert measured is not None
        # never before the light has been gathered
        assert frame.record.received_ns >= frame.record.timestamp_ns + measured.exposure_us * 1e3
    assert frames[-1].record.received_ns - began >= 8 * 20e6


def test_a_late_reader_at_realtime_pace_loses_frames_by_number() -> None:
    source = camera("fps=100", "realtime")
    assert source.read(2).record.sequence == 0
    time.sleep(0.3)
    late = source.read(2).record.sequence
    # thirty frames passed, and a driver's queue holds the last four
    assert late >= 25
    assert source.read(2).record.sequence > late


def test_reading_gives_up_in_time() -> None:
    source = camera("fps=0.5", "realtime")
    with pytest.raises(CameraStalled, match=r"0\.05 s"):
        source.read(0.05)


@pytest.mark.parametrize(("bits", "dtype", "white"), [(8, "uint8", 255.0), (16, "uint16", 65535.0)])
def test_info_describes_the_delivered_frames(bits: int, dtype: str, white: float) -> None:
    source = camera(f"bits={bits}&fps=60&gain=1..4")
    frame = source.read(5)
    info = source.info
    assert frame.pixels.shape == (info.height, info.width, 3) == (48, 64, 3)
    assert str(frame.pixels.dtype) == info.dtype == dtype
    assert frame.record.white_level == white
    assert info.fps == 60
    assert info.limits.gain_max == 4
    assert info.paced == "stepped"
    assert info.can_request


@given(fps=st.floats(1.0, 1000.0), step=st.sampled_from([0.0, 1.0, 10.0, 33.3]))
def test_the_suggested_plan_is_one_that_the_camera_can_do(fps: float, step: float) -> None:
    chosen = SimulatedSettings(fps=fps, step=step)
    limits = chosen.limits
    controls = DelayedControls(Exposure(100.0), limits, 0, 0)
    dark, bright = chosen.plan
    for exposure in (dark, bright):
        assert controls.possible(exposure).exposure_us == pytest.approx(exposure.exposure_us, rel=1e-9)
        assert exposure.exposure_us <= chosen.period_us
    assert bright.light > 2 * dark.light


def test_by_default_the_plan_is_four_stops() -> None:
    dark, bright = SimulatedSettings().plan
    assert (dark, bright) == (Exposure(1000.0), Exposure(16000.0))


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("fsp=30", ["fsp", "did you mean 'fps'?"]),
        ("fps=fast", ["fps=fast", "number"]),
        ("size=1280", ["size=1280", "WIDTHxHEIGHT"]),
        ("size=31x20", ["even"]),
        ("scene=rom", ["did you mean 'room'?"]),
        ("exposure=1ms", ["range"]),
        ("exposure=1ms..40ms", ["frame period"]),
        ("exposure=5ms..1ms", ["above its high end"]),
        ("readout=1s", ["readout"]),
        ("jitter=5", ["unit"]),
        ("delay=-1", ["whole number"]),
        ("drop=1.5", ["0 to 0.95"]),
        ("pace=slow", ["pace=slow"]),
        ("fps=30&fps=25", ["twice"]),
        ("noise", ["no value"]),
        ("metadata=maybe", ["metadata"]),
    ],
)
def test_what_is_unknown_or_malformed_is_named(query: str, words: list[str]) -> None:
    with pytest.raises(CaptureError) as caught:
        open_camera(f"sim://?{query}")
    assert all(word in str(caught.value) for word in words)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("uri", ["", "sim", "sim:/", "smi://", "://x"])
def test_what_is_no_camera_is_refused(uri: str) -> None:
    with pytest.raises(CaptureError, match="sim"):
        open_camera(uri)


@settings(max_examples=200)
@given(st.text(max_size=30))
def test_any_text_is_a_camera_or_one_clear_error(text: str) -> None:
    try:
        uri = parse_uri("sim://?" + text)
        read_settings(uri)
    except CaptureError as error:
        assert str(error).startswith("camera '")  # noqa: PT017


def test_every_setting_has_a_parameter() -> None:
    assert {"radiance_map", *PARAMETERS} == {field.name for field in fields(SimulatedSettings)}


def panorama(path: Path, width: int, height: int) -> None:
    radiance = np.full((height, width, 3), 0.1, np.float32)
    radiance[:, -width // 8 :] = 20.0
    cv2.imwrite(str(path), radiance)


@pytest.mark.parametrize("shape", [(256, 128), (200, 150)])
def test_a_radiance_map_is_panned_over(tmp_path: Path, shape: tuple[int, int]) -> None:
    panorama(tmp_path / "map.hdr", *shape)
    source = open_camera(f"sim://{tmp_path}/map.hdr?size=64x48&pace=stepped&motion=40&fps=10")
    source.start()
    pictures = [source.read(5).pixels.mean() for _ in range(40)]
    assert max(pictures) > 1.3 * min(pictures)


def test_bad_radiance_maps_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.hdr").touch()
    (tmp_path / "text.hdr").write_text("no map")
    cv2.imwrite(str(tmp_path / "eight.png"), np.ones((8, 16, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "black.hdr"), np.zeros((8, 16, 3), np.float32))
    panorama(tmp_path / "good.hdr", 16, 8)
    for name in ("missing.hdr", "empty.hdr", "text.hdr", "eight.png", "black.hdr"):
        with pytest.raises(CaptureError, match=name):
            open_camera(f"sim://{tmp_path}/{name}")
    with pytest.raises(CaptureError, match="one of them"):
        open_camera(f"sim://{tmp_path}/good.hdr?scene=room")


def test_a_hundred_openings_leave_nothing_behind() -> None:
    def handles() -> tuple[int, int]:
        return len(os.listdir("/proc/self/fd")), threading.active_count()

    camera("", "realtime").close()
    before = handles()
    for _ in range(100):
        source = camera()
        source.read(5)
        source.close()
        source.close()
        with pytest.raises(CaptureError, match="not started"):
            source.read(1)
    assert handles() == before


def test_an_offset_lengthens_every_exposure_and_is_not_reported() -> None:
    source = camera("offset=100us&response=linear&bits=16&delay=0")
    source.request(Exposure(1000.0))
    frame = read(source, 3)[-1]
    assert frame.record.measured == Exposure(1000.0)
    assert source.truth[-1].exposure == Exposure(1100.0)
    light = (frame.pixels.mean() - frame.record.black_level) / (frame.record.white_level - frame.record.black_level)
    assert light == pytest.approx(0.5 * 1100 / 16000, rel=0.01)
    assert frame.record.response == "linear"
