import numpy as np
import pytest

from livemef.fusion.metrics.steadiness import SteadinessMeter, StillPixels, lightness, pulse, summary


def test_a_pulse_is_an_alternation_and_no_drift() -> None:
    drift = np.linspace(20, 60, 30)
    assert pulse(drift) == pytest.approx(0, abs=1e-9)
    alternation = np.tile([0.0, 0.5], 15)
    assert pulse(drift + alternation) == pytest.approx(0.5)
    assert np.isnan(pulse([1.0, 2.0]))
    assert pulse(np.stack([alternation, drift], axis=-1)) == pytest.approx(0.25)  # two places: the mean of theirs


def test_what_flickers_while_the_scene_stands_still_is_measured_there_alone() -> None:
    meter, still = SteadinessMeter(), StillPixels()
    scene = np.full((32, 64, 3), 100, np.uint8)
    for number in range(12):
        frame = scene.copy()
        frame[:, 40:] = 60 + 10 * number  # moves: changes in every frame of an exposure
        fused = np.full((32, 64), 50.0, np.float32)
        fused[:, :30] += 0.5 * (number % 2)
        fused[:, 45:] += 5.0 * (number % 2)
        where = still.push(number % 2, frame)
        assert (where is None) == (number < 4)
        if where is not None:
            assert where[:, :38].all()
            assert not where[:, 42:].any()
        meter.push(fused, where)
    found = meter.result()
    assert found.frames == 12
    assert found.still_share == pytest.approx(40 / 64, abs=0.03)
    assert found.still == pytest.approx(30 / 40, abs=0.05)  # a second difference of 1 on 30 of about 40 columns
    assert found.all_pixels == pytest.approx((30 * 1 + 19 * 10) / 64, abs=0.01)
    assert found.pulse == pytest.approx((30 * 0.5 + 19 * 5) / 64, abs=0.01)


def test_lightness_and_summary() -> None:
    grey = np.full((2, 2, 3), 65535, np.uint16)
    np.testing.assert_allclose(lightness(grey), 100, atol=1e-3)
    assert summary([0.1, float("nan"), 0.3]) == pytest.approx({"median": 0.2, "p90": 0.28, "max": 0.3})
