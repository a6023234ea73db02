"""The capture loop on real (simulated and replayed) cameras: true labels, requests that are made, stalls that end."""

from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest

from livemef.capture.bracketing.controller import ControlStatus
from livemef.capture.bracketing.grouping import BracketGrouper
from livemef.capture.bracketing.plan import PlanError
from livemef.capture.cameras.registry import open_camera
from livemef.capture.errors import CameraStalled, CaptureError, EndOfStream
from livemef.capture.frame import Exposure, LabelSource
from livemef.capture.session import CaptureSession, planned_exposures

SMALL = "sim://?scene=bars&size=96x64&pace=fast&seed=3"


def test_planned_exposures() -> None:
    assert planned_exposures("auto") == planned_exposures(" AUTO ") == ()
    assert planned_exposures("8ms,500us@2") == (Exposure(500.0, 2.0), Exposure(8000.0))
    with pytest.raises(PlanError):
        planned_exposures("8,1")


@pytest.mark.parametrize(
    ("query", "sources"),
    [("metadata=on", {LabelSource.METADATA}), ("metadata=off", {LabelSource.BRIGHTNESS, LabelSource.PREDICTED})],
)
def test_labels_are_what_the_sensor_did(query: str, sources: set[LabelSource]) -> None:
    with closing(open_camera(f"{SMALL}&{query}&drop=0.02&duplicate=0.02&delay=3")) as camera:
        session = CaptureSession(camera, planned_exposures("1ms,16ms"))
        grouper = BracketGrouper[None]()
        camera.start()
        kept = brackets = 0
        for _ in range(300):
            frame = session.next_frame(1.0)
            if frame is None:
                continue
            kept += 1
            truth = next(truth for truth in camera.truth if truth.sequence == frame.record.sequence)  # type: ignore[attr-defined]
            assert frame.record.index is not None
            assert session.plan[frame.record.index].exposure_us == pytest.approx(truth.exposure.exposure_us)
            assert frame.record.label_source in sources
            brackets += grouper.push(frame.record, None).bracket is not None
    assert session.status is ControlStatus.FOLLOWING
    assert session.counters.received == 300
    assert session.counters.labelled == kept
    assert kept > 230
    assert brackets > 200


def test_suggested_plan_is_used_unless_another_is_requested() -> None:
    with closing(open_camera(SMALL)) as camera:
        assert CaptureSession(camera).plan == camera.info.plan
        assert [e.exposure_us for e in CaptureSession(camera, planned_exposures("2ms,4ms,8ms")).plan] == [2e3, 4e3, 8e3]


@pytest.mark.parametrize("plan", ["1ms", "8ms,9ms", "100ms,200ms"])
def test_plan_that_cannot_work_is_refused(plan: str) -> None:
    with closing(open_camera(SMALL)) as camera, pytest.raises(PlanError):
        CaptureSession(camera, planned_exposures(plan))


def test_stall_is_an_error_with_advice() -> None:
    with closing(open_camera(f"{SMALL}&stall=1&stall_time=60s")) as camera:
        session = CaptureSession(camera)
        camera.start()
        session.next_frame(0.05)  # the first frame is spared
        with pytest.raises(CameraStalled, match="plugged in") as caught:
            session.next_frame(0.05)
        assert "\n" not in str(caught.value)


class TestReplay:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        for name, level in (("under", 40), ("over", 160)):
            cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((32, 48, 3), level, np.uint8))
        return tmp_path

    def test_frames_come_labelled_dark_to_bright(self, folder: Path) -> None:
        with closing(open_camera(f"file://{folder}?pace=fast&loop=off")) as camera:
            session = CaptureSession(camera)
            camera.start()
            frames = [session.next_frame(1.0) for _ in range(2)]
            with pytest.raises(EndOfStream):
                session.next_frame(1.0)
        assert [(frame.record.index, frame.pixels[0, 0, 0]) for frame in frames if frame] == [(0, 40), (1, 160)]

    def test_its_exposures_cannot_be_set(self, folder: Path) -> None:
        with closing(open_camera(f"file://{folder}")) as camera, pytest.raises(CaptureError, match="cannot be set"):
            CaptureSession(camera, planned_exposures("1ms,8ms"))
