"""The choice of a camera's mode, and the suggested exposures."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from livemef.capture.bracketing.plan import MIN_RATIO
from livemef.capture.cameras.modes import Mode, WantedMode, choose_mode, suggested_plan
from livemef.capture.cameras.pixel_formats import FORMATS

WEBCAM = [
    Mode("YUYV", 640, 480, 30.0),
    Mode("YUYV", 1280, 720, 10.0),
    Mode("YUYV", 1920, 1080, 5.0),
    Mode("MJPEG", 640, 480, 30.0),
    Mode("MJPEG", 1280, 720, 30.0),
    Mode("MJPEG", 1280, 720, 60.0),
    Mode("MJPEG", 1920, 1080, 30.0),
]


def choose(**wanted: object) -> str:
    return str(choose_mode(WEBCAM, WantedMode(**wanted), tuple(FORMATS)))  # type: ignore[arg-type]


def test_a_webcam() -> None:
    assert choose() == "MJPEG 1280x720 at 60 fps"
    assert choose(size=(640, 480)) == "YUYV 640x480 at 30 fps"
    assert choose(size=(1280, 720), fps=30.0) == "MJPEG 1280x720 at 30 fps"
    assert choose(pixel_format="YUYV") == "YUYV 640x480 at 30 fps"
    assert choose(size=(1920, 1080)) == "MJPEG 1920x1080 at 30 fps"
    assert choose(fps=10.0, pixel_format="YUYV") == "YUYV 1280x720 at 10 fps"
    assert choose(size=(320, 240)) == "None"


modes = st.lists(
    st.builds(
        Mode,
        st.sampled_from([*FORMATS, "BA81"]),
        st.sampled_from([320, 640, 1280, 1920, 3840]),
        st.sampled_from([240, 480, 720, 1080]),
        st.sampled_from([0.0, 5.0, 15.0, 30.0, 60.0]),
    )
)


@given(modes, st.sampled_from([None, (640, 480), (3840, 1080)]), st.sampled_from([None, 30.0, 60.0]))
def test_what_is_chosen_is_offered_and_readable(
    offered: list[Mode], size: tuple[int, int] | None, fps: float | None
) -> None:
    chosen = choose_mode(offered, WantedMode(size, fps), tuple(FORMATS))
    fitting = [m for m in offered if m.pixel_format in FORMATS and size in (None, (m.width, m.height))]
    assert (chosen is None) == (not fitting)
    if chosen is not None:
        assert chosen in fitting
        if fps is None and chosen.fps < 24:
            assert all(mode.fps < 24 for mode in fitting)


@given(
    st.floats(10.0, 500.0),
    st.floats(2000.0, 1e6),
    st.sampled_from([0.0, 10.0, 100.0]),
)
def test_the_suggested_plan_is_within_the_limits(shortest_us: float, longest_us: float, step_us: float) -> None:
    short, long = suggested_plan(shortest_us, longest_us, step_us)
    assert shortest_us - step_us / 2 <= short.exposure_us < long.exposure_us <= longest_us + step_us / 2
    assert long.light >= MIN_RATIO * short.light
