"""Rates of a stream, whatever the time between its frames."""

import pytest

from livemef.fusion.tally import Tally


def rates(times: list[float], now_s: float) -> float:
    tally = Tally()
    for when in times:
        tally.note(when, 40.0, 10.0)
    return float(tally.values(now_s)["fps"])


def test_the_rate_is_that_of_the_last_two_seconds() -> None:
    slow, quick = [0.5 * number for number in range(20)], [10 + 0.05 * number for number in range(60)]
    assert rates([*slow, *quick], 13.0) == pytest.approx(20.0)


@pytest.mark.parametrize("pause_s", [0.05, 1.9, 2.5, 7.0])
def test_a_stream_of_seconds_a_frame_has_a_rate_and_a_stalled_one_has_none(pause_s: float) -> None:
    times = [pause_s * number for number in range(5)]
    assert rates(times, times[-1] + 0.9 * pause_s) == pytest.approx(1 / pause_s)
    assert rates(times, times[-1] + max(2.0, 2 * pause_s) + 0.1) == 0.0
    assert rates(times[:1], 1.0) == 0.0
