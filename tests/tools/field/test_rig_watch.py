"""The watch of the rig: a knock, a fading lamp, a lens that slips, an object over the target."""

from collections.abc import Iterator

import numpy as np
import pytest

from livemef.calibration.quality.sheet import measure_sheet
from livemef.calibration.quality.targets import find_target, shipped_targets
from livemef.capture.bracketing.plan import parse_plan
from livemef.capture.cameras.registry import open_camera
from livemef.capture.frame import Frame
from livemef.capture.session import CaptureSession
from livemef.fusion.correction import SRGB, CameraCorrection
from livemef.fusion.merge import merge
from livemef.tools.field.project import Target
from livemef.tools.field.rig_watch import RigWatch
from livemef.tools.field.target import measure_target
from tests.tools.field.session_rig import SIZE, corners

PLAN = parse_plan("1ms,5ms,25ms", 1.0)
LIGHTS = [exposure.light for exposure in PLAN]


def brackets(faults: str) -> Iterator[list[Frame]]:
    """Bracket after bracket of the simulated target, ten a second of scene time."""
    with_camera = open_camera(f"sim://?scene=target&motion=0&pace=fast&size={SIZE[0]}x{SIZE[1]}{faults}")
    try:
        session = CaptureSession(with_camera, PLAN)
        with_camera.start()
        found: dict[int, Frame] = {}
        while True:
            frame = session.next_frame(5)
            if frame is None or frame.record.index is None:
                continue
            found[frame.record.index] = Frame(frame.record, frame.pixels.copy())
            if len(found) == len(PLAN):
                yield [found[index] for index in range(len(PLAN))]
                found = {}
    finally:
        with_camera.close()


def watching(first: list[Frame], correction: CameraCorrection = SRGB) -> RigWatch:
    """A watch that has seen this bracket as its target."""
    watch = RigWatch("sub+connect:tcp://127.0.0.1:9", PLAN, correction, searches=False)
    light = merge(LIGHTS, [frame.pixels for frame in first], correction).light
    settings = Target(definition="livemef-sheet", corners=tuple(corners()))
    watch.new_target(light, measure_target(light, settings))
    return watch


def test_an_undisturbed_rig_has_no_warning() -> None:
    stream = brackets("")
    watch = watching(next(stream))
    for _ in range(5):
        seen = watch._found(next(stream))
        assert seen.rig is not None
        assert seen.rig.in_view
        assert seen.rig.warning == ""
        assert seen.rig.moved_px == pytest.approx(0, abs=0.2)
        assert seen.rig.mtf50_share == pytest.approx(1, abs=0.02)
        assert seen.clipping == ""


@pytest.mark.parametrize("pixels", [2.0, 5.0])
def test_a_knock_shows(pixels: float) -> None:
    stream = brackets(f"&bump=1s&bump_by={pixels}")
    watch = watching(next(stream))
    for _ in range(25):
        bracket = next(stream)
    rig = watch._found(bracket).rig
    assert rig is not None
    assert rig.moved_px == pytest.approx(pixels, abs=0.3)
    assert "the rig has moved" in rig.warning


def test_a_fading_lamp_shows() -> None:
    stream = brackets("&drift=-0.9")
    watch = watching(next(stream))
    for _ in range(25):
        bracket = next(stream)
    rig = watch._found(bracket).rig
    assert rig is not None
    assert rig.white_dl is not None
    assert rig.white_dl < -1
    assert "the light has changed" in rig.warning


@pytest.mark.parametrize(
    ("blur", "by", "falls"), [(0.4, 0.3, False), (0.4, 0.55, True), (1.0, 0.4, False), (1.0, 0.7, True)]
)
def test_a_lens_that_slips_shows(blur: float, by: float, falls: bool) -> None:
    """By .3 and .4 pixels the slanted edges' MTF50 falls by 1 and 3 %, by .55 and .7 pixels by 27 and 17 %."""
    stream = brackets(f"&blur={blur}&defocus=1s&defocus_by={by}")
    first = next(stream)
    watch = watching(first)
    for _ in range(25):
        bracket = next(stream)
    rig = watch._found(bracket).rig
    assert rig is not None
    assert rig.in_view
    assert rig.mtf50_share is not None
    assert rig.mtf50_share == pytest.approx(slanted(bracket) / slanted(first), abs=0.02)
    assert ("MTF50 has fallen by" in rig.warning) is falls


def slanted(bracket: list[Frame]) -> float:
    """Median MTF50 of the target's eight slanted edges."""
    light = np.asarray(merge(LIGHTS, [frame.pixels for frame in bracket]).light, np.float64)
    places = corners()
    target = find_target(shipped_targets(), "livemef-sheet")
    sheet = measure_sheet(light, target, list(zip(places[::2], places[1::2], strict=True)))
    return float(np.median([edge.mtf50 for edge in sheet.edges]))


def test_an_object_over_the_target_is_no_fault_of_the_rig() -> None:
    first = next(brackets(""))
    watch = watching(first)
    covered = [Frame(frame.record, frame.pixels.copy()) for frame in first]
    for frame in covered:
        height, width = frame.pixels.shape[:2]
        frame.pixels[height // 5 : -height // 5, width // 5 : -width // 5] = 40
    rig = watch._found(covered).rig
    assert rig is not None
    assert not rig.in_view
    assert rig.warning == ""


def test_what_clips_in_the_darkest_exposure_is_marked() -> None:
    first = next(brackets(""))
    pixels = first[0].pixels.copy()
    pixels[:36, :64] = 255
    watch = watching(first)
    seen = watch._found([Frame(first[0].record, pixels), *first[1:]])
    assert seen.clipped == pytest.approx(0.01, abs=0.001)
    assert "1.00% of the picture clips" in seen.clipping
    assert watch.overlay.startswith(b"\x89PNG")


def test_a_profile_with_a_flat_field_is_applied_to_the_part_that_is_watched() -> None:
    shading = np.full((SIZE[1], SIZE[0], 3), 0.5, np.float32)
    correction = CameraCorrection(size=SIZE, transmission=shading, hot_pixels=((1, 1), (300, 100)))
    stream = brackets("")
    watch = watching(next(stream), correction)
    rig = watch._found(next(stream)).rig
    assert rig is not None
    assert rig.in_view
    assert abs(rig.white_dl or 0) < 0.5
