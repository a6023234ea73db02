import itertools
import math
import random
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livemef.capture.bracketing.auto_exposure import (
    FEWER_PATIENCE,
    LEAST_RATIO,
    MIDDLE_SNR,
    MOST_RATIO,
    AutoBracketing,
    bridged_stops,
    exposures_needed,
)
from livemef.capture.bracketing.controller import BracketingController
from livemef.capture.bracketing.exposure_statistics import (
    CLIPS,
    MOST_CLIPPED,
    MOST_NOISY,
    NOISE_FLOOR,
    FrameStatistics,
    frame_statistics,
)
from livemef.capture.bracketing.plan import fit_plan, quantise
from livemef.capture.cameras.base import Camera, CameraLimits, SensorNoise
from livemef.capture.cameras.registry import open_camera
from livemef.capture.frame import Exposure
from livemef.capture.session import CaptureSession, open_session
from tests.quick import quick

UNKNOWN = "curve&gamma=1.8"
"""Of a camera that does not state its response, far from sRGB's."""
LIMITS = CameraLimits(20.0, 33000.0, 10.0, 1.0, 8.0)


def radiance_map(folder: Path, stops: float, seed: int, brightness: float = 1.0) -> Path:
    """A radiance map with log radiance spread evenly over so many stops, in large and small shapes."""
    rng = np.random.default_rng(seed)
    height, width = 240, 320
    shapes = np.zeros((height, width))
    for size, weight in ((128, 1.0), (48, 0.6), (16, 0.3), (5, 0.15)):
        cells = rng.standard_normal((height // size + 3, width // size + 3))
        shapes += weight * cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC)
    rank = np.argsort(np.argsort(shapes.ravel())).reshape(height, width) / (height * width)
    light = brightness * 2 ** (stops * (rank - 0.5))
    path = folder / f"{seed}.hdr"
    assert cv2.imwrite(str(path), (light[..., None] * rng.uniform(0.8, 1.2, 3)).astype(np.float32))
    return path


class Watched:
    """A camera with auto-bracketing: statistics of its newest frames, and when the plan changed."""

    def __init__(self, camera: Camera, start: tuple[Exposure, ...], most: int = 2) -> None:
        self._camera = camera
        self._controller = BracketingController.for_camera(camera.info, start)
        self._auto = AutoBracketing.for_camera(camera.info, 0, most)
        self.newest: dict[int, FrameStatistics] = {}
        self.changes: list[int] = []
        self.frames = 0
        camera.start()

    @property
    def plan(self) -> tuple[Exposure, ...]:
        return self._controller.plan

    def frame(self, following: bool = True) -> None:
        frame = self._camera.read(2.0)
        decision = self._controller.on_frame(frame.record)
        assert decision.request is not None
        self._camera.request(decision.request)
        exposure = decision.record.exposure
        assert exposure is not None
        statistics = frame_statistics(frame.pixels, exposure.light, frame.record)
        if decision.record.index is not None:
            self.newest[decision.record.index] = statistics
        if following:
            self.frames += 1
            better = self._auto.observe(statistics, self.plan)
            if better is not None:
                self._controller.set_plan(better)
                self.changes.append(self.frames)

    def good(self) -> bool:
        """Neither end of the plan could be better on this camera."""
        limits = self._camera.info.limits
        short, long = self.newest[0], self.newest[len(self.plan) - 1]
        shortest = self.plan[0].exposure_us < 1.01 * limits.exposure_min_us
        longest = self.plan[-1].exposure_us > 0.99 * limits.exposure_max_us
        return (shortest or short.clipped <= MOST_CLIPPED) and (longest or long.noisy <= MOST_NOISY)


def random_scenes(count: int, seed: int) -> list[tuple[int, float, float, str, int, tuple[float, float]]]:
    """Scene's seed, its stops, its light, the camera's parameters, the most exposures, and the first plan (us)."""
    rng = random.Random(seed)
    cameras = ["srgb", "srgb&bits=16", "srgb&read_noise=8", "linear", "linear&bits=16", UNKNOWN]
    starts = [(20.0, 80.0), (1000.0, 16000.0), (8000.0, 33000.0)]
    return [
        (
            rng.randrange(10**6),
            round(rng.uniform(4, 17), 2),
            round(2 ** rng.uniform(-4, 4), 3),
            rng.choice(cameras),
            rng.choice([2, 2, 3, 4]),
            rng.choice(starts),
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize(
    ("seed", "stops", "light", "response", "most", "start"),
    quick([(0, 16.0, 1.0, "srgb", 2, (20.0, 80.0)), *random_scenes(60, 1)], 8),
)
def test_from_a_wrong_start_it_settles_soon_and_does_not_hunt(tmp_path, seed, stops, light, response, most, start):
    """Within twelve frames; within sixty where the camera's response is neither sRGB nor stated."""
    scene = radiance_map(tmp_path, stops, seed, light)
    camera = open_camera(f"sim://{scene}?pace=fast&size=320x240&motion=0&seed={seed + 1}&response={response}")
    limit = 60 if response == UNKNOWN else 12
    watched = Watched(camera, tuple(Exposure(time_us) for time_us in start), most)
    for _ in range(10):
        watched.frame(following=False)
    for _ in range(limit):
        watched.frame()
    watched.newest.clear()
    for _ in range(10):
        watched.frame()
    assert watched.good()
    for _ in range(300):
        watched.frame()
    exposures = len(watched.plan)
    assert [change for change in watched.changes if change > limit] == []
    assert watched.good()
    assert exposures <= most
    camera.close()


def test_it_follows_a_scene_that_changes_but_not_a_single_frame():
    auto = AutoBracketing(LIMITS, 33333.0)
    plan = (Exposure(1000.0), Exposure(16000.0))
    scene = itertools.cycle([seen(plan[0], 1e-4, 5e-7), seen(plan[1], 1e-4, 5e-7)])
    changes = [auto.observe(next(scene), plan) for _ in range(20)]
    settled = next(change for change in reversed(changes) if change) if any(changes) else plan
    scene = itertools.cycle([seen(exposure, 1e-4, 5e-7) for exposure in settled])
    for _ in range(4):
        assert auto.observe(next(scene), settled) is None
    assert auto.settled
    flash = seen(settled[0], 4e-3, 5e-7)
    assert auto.observe(flash, settled) is None
    assert [auto.observe(next(scene), settled) for _ in range(20)] == [None] * 20
    brighter = itertools.cycle([seen(exposure, 4e-3, 5e-7) for exposure in settled])
    found = [auto.observe(next(brighter), settled) for _ in range(15)]
    change = next(plan for plan in found if plan is not None)
    assert change[0].light < 0.5 * settled[0].light


@pytest.mark.parametrize("kept", [0, 1], ids=["short", "long"])
def test_a_busy_machine_that_loses_one_exposures_frames_for_a_while_changes_nothing(kept: int) -> None:
    auto = AutoBracketing(LIMITS, 33333.0, most=2)
    plan, _ = settled(auto, (Exposure(1000.0), Exposure(16000.0)), 7e-4, 12, 40)
    found = [auto.observe(seen(plan[kept], 7e-4, 7e-4 / 2**12), plan) for _ in range(40)]
    assert found == [None] * 40


def seen(exposure: Exposure, high: float, low: float) -> FrameStatistics:
    """Statistics of a scene between `low` and `high` of white per microsecond."""
    top, bottom = min(1.0, high * exposure.light), min(1.0, low * exposure.light)
    return FrameStatistics(exposure.light, 0.1 * (top >= CLIPS), 0.1 * (bottom < NOISE_FLOOR), top, bottom)


@settings(max_examples=200, deadline=None)
@given(
    st.floats(1e-7, 1e-1),
    st.floats(0, 16),
    st.lists(st.floats(20, 33000), min_size=2, max_size=2),
    st.integers(2, 5),
    st.sampled_from([0.0, 10000.0, 1e6 / 120]),
    st.sampled_from([LIMITS, CameraLimits(100.0, 8000.0), CameraLimits(1.0, 1e6, 1.0)]),
)
def test_whatever_the_scene_the_plan_is_possible_and_stays(high, stops, start, most, flicker_us, limits):
    auto = AutoBracketing(limits, 33333.0, flicker_us, most)
    plan = tuple(quantise(Exposure(time_us), limits) for time_us in sorted(start))
    changes = 0
    for _ in range(60):
        for exposure in plan:
            better = auto.observe(seen(exposure, high, high / 2**stops), plan)
            if better is not None:
                plan, changes = better, changes + 1
                assert 2 <= len(plan) <= most
                assert limits.exposure_min_us <= plan[0].exposure_us
                assert plan[-1].exposure_us <= min(33333.0, limits.exposure_max_us)
                fit_plan(plan, limits, 33333.4, reports_exposure=False)
                if len(plan) == 2:
                    assert 0.5 * LEAST_RATIO <= plan[1].light / plan[0].light <= 2.5 * MOST_RATIO ** (most - 1)
                break
    assert changes <= 5
    periods = plan[-1].exposure_us / flicker_us if flicker_us else 0.0
    if periods > 1:
        assert periods == pytest.approx(round(periods), abs=0.02)


@pytest.mark.parametrize(
    ("noise", "gain", "stops"),
    [
        (None, 1.0, 4.5),
        (SensorNoise(1.0, 10_000.0, 3.0), 1.0, 4.5),
        (SensorNoise(2.0, 5_000.0, 3.0), 1.0, 4.5),  # measured at twice the gain
        (SensorNoise(1.0, 10_000.0, 3.0), 4.0, 2.5),
        (SensorNoise(1.0, 40_000.0, 1.5), 1.0, 6.5),
        (SensorNoise(1.0, 300.0, 8.0), 1.0, 1.0),
    ],
)
def test_stops_that_two_exposures_bridge_follow_from_the_noise(noise, gain, stops):
    found = bridged_stops(noise, gain)
    assert found == pytest.approx(stops, abs=0.1)
    if noise is not None and stops > 1:
        electrons = CLIPS * noise.full_well_e * noise.gain / gain / 2**found
        assert electrons / math.sqrt(electrons + noise.read_noise_e**2) == pytest.approx(MIDDLE_SNR)


@given(st.floats(0, 30), st.floats(1, 9), st.integers(2, 5))
def test_as_many_exposures_as_the_gap_needs(gap_ev, step_ev, most):
    number = exposures_needed(gap_ev, step_ev, most)
    assert 2 <= number <= most
    if number < most:
        assert gap_ev / (number - 1) <= step_ev * 1.1 + 1e-9
    if number > 2:
        assert gap_ev / (number - 2) > step_ev


def settled(auto, plan, high, stops, frames):
    """The plan after so many frames of a scene, and how often it changed."""
    changes = 0
    for frame in range(frames):
        better = auto.observe(seen(plan[frame % len(plan)], high, high / 2**stops), plan)
        plan, changes = (plan, changes) if better is None else (better, changes + 1)
    return plan, changes


def test_a_wider_scene_gets_a_third_exposure_at_once_and_loses_it_late():
    auto = AutoBracketing(CameraLimits(1.0, 33000.0, 1.0), 33333.0, most=3)
    plan, _ = settled(auto, (Exposure(1000.0), Exposure(16000.0)), 1e-4, 9, 60)
    assert len(plan) == 2
    plan, changes = settled(auto, plan, 5e-3, 14.5, 40)
    assert (len(plan), changes) == (3, 2)  # all clips at first
    steps = [brighter.ev_above(darker) for darker, brighter in itertools.pairwise(plan)]
    assert steps == pytest.approx([steps[0]] * 2, abs=0.1)
    assert 2 < steps[0] <= 4.5 * 1.1
    plan, _ = settled(auto, plan, 1e-4, 9, FEWER_PATIENCE - 6)
    assert len(plan) == 3
    plan, _ = settled(auto, plan, 1e-4, 9, 80)
    assert len(plan) == 2


def test_plain_auto_stays_with_two_and_takes_over_from_three():
    auto = AutoBracketing(LIMITS, 33333.0)
    plan, changes = settled(auto, (Exposure(500.0), Exposure(4000.0), Exposure(32000.0)), 5e-3, 15, 60)
    assert len(plan) == 2
    assert changes <= 3


def test_a_session_follows_the_scene_only_when_nobody_named_exposures():
    for text, changes in (("auto", True), ("4ms,16ms", False)):
        camera = open_camera("sim://?pace=fast&size=320x240")
        camera.start()
        session = open_session(camera, text, 1.0, 50)
        before = session.plan
        epochs = {frame.record.epoch for _ in range(40) if (frame := session.next_frame(2.0)) is not None}
        assert (session.plan != before) == changes
        assert (max(epochs) > 0) == changes
        camera.close()


def test_a_session_that_has_settled_keeps_its_exposures():
    camera = open_camera("sim://?pace=fast&size=320x240")
    camera.start()
    session = CaptureSession(camera, (), AutoBracketing.for_camera(camera.info, 50))
    session.settle(2.0, 60)
    plan = session.plan
    assert plan[1].exposure_us % 10000 == pytest.approx(0, abs=10)
    frames = [session.next_frame(2.0) for _ in range(30)]
    assert session.plan == plan
    assert sum(frame is not None for frame in frames) > 20
    camera.close()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_a_frame_shows(dtype):
    top = np.iinfo(dtype).max
    pixels = np.full((120, 160, 3), top // 2, dtype)
    pixels[:30], pixels[-12:] = top, 0
    statistics = frame_statistics(pixels, 200.0)
    assert statistics.light == 200.0
    assert statistics.clipped == pytest.approx(0.25, abs=0.02)
    assert statistics.noisy == pytest.approx(0.1, abs=0.02)
    assert statistics.high == pytest.approx(1.0)
    assert statistics.low == pytest.approx(0.0)
