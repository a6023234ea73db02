"""Charts that were painted with known errors."""

import cv2
import numpy as np
import pytest

from livemef.calibration.colour_chart import CHART_LAB_D50, lab_d50, patch_corners, reference_bgr
from livemef.calibration.errors import CalibrationError
from livemef.calibration.quality.chart import measure_chart
from livemef.calibration.quality.levels import find_level, load_levels, shipped_levels, standing
from livemef.calibration.quality.report import measured_values, report
from livemef.fusion.metrics.ciede2000 import ciede2000

SIZE = 480, 640
CORNERS = np.array([[60, 60], [580, 70], [570, 420], [50, 410]], float)


def chart(patches: np.ndarray) -> np.ndarray:
    """Linear light, with these colours (24 x 3) in the patches."""
    light = np.full((*SIZE, 3), 0.02)
    for outline, colour in zip(patch_corners(CORNERS, 1.0), patches, strict=True):
        mask = np.zeros(SIZE, np.uint8)
        cv2.fillConvexPoly(mask, np.round(outline).astype(np.int32), 1)
        light[mask > 0] = colour
    return light


def corners(turn: int = 0) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in np.roll(CORNERS, turn, axis=0)]


def test_a_true_chart_has_no_error_however_it_is_held() -> None:
    for turn in range(4):
        found = measure_chart(chart(reference_bgr()), corners(turn))
        assert max(found.de00) < 0.01
        assert found.white_de_ab < 0.01
        assert max(map(abs, found.tone_dl)) < 0.01
        assert found.gain_modulation == pytest.approx([1] * 5, abs=0.01)
        assert max(found.noise_l) < 0.01


@pytest.mark.full
def test_known_errors_of_fifty_random_cameras() -> None:
    rng = np.random.default_rng(7)
    for _ in range(50):
        mixed = np.eye(3) + rng.normal(0, 0.03, (3, 3))
        patches = np.clip(reference_bgr() @ mixed.T * rng.uniform(0.8, 1.2), 0, None)
        noise = rng.uniform(0.001, 0.01)
        light = chart(patches)
        lab = lab_d50(patches)
        wanted = ciede2000(lab, CHART_LAB_D50)
        quiet = measure_chart(light, corners())
        assert quiet.de00 == pytest.approx(wanted, abs=0.1)
        assert quiet.tone_dl == pytest.approx(lab[18:, 0] - CHART_LAB_D50[18:, 0], abs=0.01)
        noisy = light * (1 + noise * rng.normal(size=light.shape)[..., :1])
        grey = measure_chart(noisy, corners()).noise_l[2]
        slope = (lab_d50(patches[20] * 1.001)[0] - lab[20, 0]) / 0.001
        assert grey == pytest.approx(noise * slope, rel=0.12)


def test_uneven_light_is_not_noise() -> None:
    uneven = chart(reference_bgr()) * np.linspace(1, 0.9, SIZE[1])[None, :, None]
    assert max(measure_chart(uneven, corners()).noise_l) < 0.05


def test_something_else_is_refused() -> None:
    picture = np.random.default_rng(1).uniform(0, 1, (*SIZE, 3))
    with pytest.raises(CalibrationError, match="no ColorChecker"):
        measure_chart(picture, corners())
    with pytest.raises(CalibrationError, match="no ColorChecker"):
        measure_chart(picture, [(x * 3, y * 3) for x, y in corners()])


def test_levels_say_where_their_numbers_come_from_and_order_as_they_should() -> None:
    known = shipped_levels()
    assert len({level.name for level in known}) == len(known)
    assert all(level.source and level.status in ("primary", "secondary") for level in known)
    stars = [find_level(known, f"fadgi-2023/general-collections/{star}").limits for star in (4, 3, 2, 1)]
    means = [limits.colour_mean for limits in stars]
    assert means == sorted(means)


def test_a_true_chart_is_within_every_level_and_a_wrong_one_says_what_is_worst() -> None:
    true = measure_chart(chart(reference_bgr()), corners())
    found = report(true, None, shipped_levels())
    assert found["indicative"] is True
    assert all(level["within"] for level in found["levels"])
    assert all("sampling_efficiency" in level["unmeasured"] for level in found["levels"][:3])
    tinted = measure_chart(chart(reference_bgr() * (1.2, 1.0, 0.95)), corners())
    level = find_level(shipped_levels(), "fadgi-2023/general-collections/4")
    stands = standing(level, measured_values(tinted, None, sl_one=False))
    assert not stands.within
    assert stands.worst is not None
    assert stands.worst.name == "white"


def test_own_levels_are_read_strictly(tmp_path) -> None:
    path = tmp_path / "levels.toml"
    good = '[[level]]\nname = "ours"\nedition = "1"\nsource = "ours"\nstatus = "primary"\nlimits = { noise = 1 }\n'
    path.write_text(good)
    assert load_levels(path)[0].limits.noise == 1
    for bad, says in (
        (good.replace("noise", "nose"), "nose"),
        ("[[level", "TOML"),
        (good.replace("= 1 }", "= -1 }"), "0"),
    ):
        path.write_text(bad)
        with pytest.raises(CalibrationError, match=says):
            load_levels(path)
