import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livemef.capture.bracketing.auto_exposure import (
    CLIPS,
    LEAST_RATIO,
    MOST_CLIPPED,
    MOST_NOISY,
    MOST_RATIO,
    NOISE_FLOOR,
    AutoBracketing,
    FrameStatistics,
    frame_statistics,
)
from livemef.capture.bracketing.controller import BracketingController
from livemef.capture.bracketing.plan import quantise
from livemef.capture.cameras.base import Camera, CameraLimits
from livemef.capture.cameras.registry import open_camera
from livemef.capture.frame import Exposure
from livemef.capture.session import CaptureSession, open_session
from tests.quick import quick

RANGES = list(enumerate(round(float(stops), 2) for stops in np.linspace(6, 16, 10)))
"""Seed and stops."""
LIMITS = CameraLimits(20.0, 33000.0, 10.0, 1.0, 8.0)


def radiance_map(folder: Path, stops: float, seed: int) -> Path:
    """A radiance map with log radiance spread evenly over so many stops, in large and small shapes."""
    rng = np.random.default_rng(seed)
    height, width = 240, 320
    shapes = np.zeros((height, width))
    for size, weight in ((128, 1.0), (48, 0.6), (16, 0.3), (5, 0.15)):
        cells = rng.standard_normal((height // size + 3, width // size + 3))
        shapes += weight * cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC)
    rank = np.argsort(np.argsort(shapes.ravel())).reshape(height, width) / (height * width)
    light = 2 ** (stops * (rank - 0.5))
    path = folder / f"{seed}.hdr"
    assert cv2.imwrite(str(path), (light[..., None] * rng.uniform(0.8, 1.2, 3)).astype(np.float32))
    return path


class Watched:
    """A camera with auto-bracketing: statistics of its newest frames, and when the plan changed."""

    def __init__(self, camera: Camera, start: tuple[Exposure, ...]) -> None:
        self._camera = camera
        self._controller = BracketingController.for_camera(camera.info, start)
        self._auto = AutoBracketing.for_camera(camera.info, 0)
        self.newest: dict[int, FrameStatistics] = {}
        self.changes: list[int] = []
        self.frames = 0
        camera.start()

    def frame(self, following: bool = True) -> None:
        frame = self._camera.read(2.0)
        decision = self._controller.on_frame(frame.record)
        assert decision.request is not None
        self._camera.request(decision.request)
        exposure = decision.record.exposure
        assert exposure is not None
        statistics = frame_statistics(frame.pixels, exposure)
        if decision.record.index is not None:
            self.newest[decision.record.index] = statistics
        if following:
            self.frames += 1
            better = self._auto.observe(statistics, self._controller.plan)
            if better is not None:
                self._controller.set_plan(better)
                self.changes.append(self.frames)

    def good(self) -> bool:
        return self.newest[0].clipped <= MOST_CLIPPED and self.newest[1].noisy <= MOST_NOISY


@pytest.mark.parametrize("start", [(20.0, 80.0), (8000.0, 33000.0)])
@pytest.mark.parametrize(("seed", "stops"), quick(RANGES[::9] + RANGES[1:9], 2))
def test_from_a_wrong_start_it_settles_within_twelve_frames_and_does_not_hunt(tmp_path, seed, stops, start):
    camera = open_camera(f"sim://{radiance_map(tmp_path, stops, seed)}?pace=fast&size=320x240&motion=0&seed={seed + 1}")
    watched = Watched(camera, tuple(Exposure(time_us) for time_us in start))
    for _ in range(10):
        watched.frame(following=False)
    for _ in range(12):
        watched.frame()
    watched.newest.clear()
    for _ in range(6):
        watched.frame()
    assert watched.good()
    for _ in range(1000):
        watched.frame()
    assert max(watched.changes, default=0) <= 12
    assert watched.good()
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


def seen(exposure: Exposure, high: float, low: float) -> FrameStatistics:
    """Statistics of a scene between `low` and `high` of white per microsecond."""
    top, bottom = min(1.0, high * exposure.light), min(1.0, low * exposure.light)
    return FrameStatistics(exposure.light, 0.1 * (top >= CLIPS), 0.1 * (bottom < NOISE_FLOOR), top, bottom)


@settings(max_examples=200, deadline=None)
@given(
    st.floats(1e-7, 1e-1),
    st.floats(0, 16),
    st.lists(st.floats(20, 33000), min_size=2, max_size=2),
    st.sampled_from([0.0, 10000.0, 1e6 / 120]),
    st.sampled_from([LIMITS, CameraLimits(100.0, 8000.0), CameraLimits(1.0, 1e6, 1.0)]),
)
def test_whatever_the_scene_the_plan_is_possible_and_stays(high, stops, start, flicker_us, limits):
    auto = AutoBracketing(limits, 33333.0, flicker_us)
    plan = tuple(quantise(Exposure(time_us), limits) for time_us in sorted(start))
    changes = 0
    for _ in range(60):
        for exposure in plan:
            better = auto.observe(seen(exposure, high, high / 2**stops), plan)
            if better is not None:
                plan, changes = better, changes + 1
                assert limits.exposure_min_us <= plan[0].exposure_us < plan[1].exposure_us
                assert plan[1].exposure_us <= min(33333.0, limits.exposure_max_us)
                assert plan[1].light / plan[0].light >= 0.5 * LEAST_RATIO
                assert plan[1].light / plan[0].light <= 2.5 * MOST_RATIO
                break
    assert changes <= 5
    periods = plan[1].exposure_us / flicker_us if flicker_us else 0.0
    if periods > 1:
        assert periods == pytest.approx(round(periods), abs=0.02)


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
    statistics = frame_statistics(pixels, Exposure(100.0, 2.0))
    assert statistics.light == 200.0
    assert statistics.clipped == pytest.approx(0.25, abs=0.02)
    assert statistics.noisy == pytest.approx(0.1, abs=0.02)
    assert statistics.high == pytest.approx(1.0)
    assert statistics.low == pytest.approx(0.0)
