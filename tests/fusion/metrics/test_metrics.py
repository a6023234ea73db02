from __future__ import annotations

import csv
import math
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from livemef.capture.frame import Pixels
from livemef.fusion.errors import FusionError
from livemef.fusion.methods.registry import METHODS
from livemef.fusion.metrics import registry
from livemef.fusion.metrics.jnbm import edge_widths
from livemef.fusion.metrics.mef_ssim import _structure_map


def bracket(height: int, width: int, seed: int = 0) -> list[Pixels]:
    light = cv2.GaussianBlur(np.random.default_rng(seed).uniform(0, 1, (height, width, 3)), (5, 5), 1.0)
    return [np.clip(255 * (light * gain) ** 0.5, 0, 255).astype(np.uint8) for gain in (0.2, 1.8)]


def literal_structure(sources: list[np.ndarray], fused: np.ndarray) -> np.ndarray:
    """MEF-SSIM's quality map window by window, as the paper writes it."""
    taps = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    gauss = np.outer(taps, taps) / taps.sum() ** 2
    quality = np.zeros((fused.shape[0] - 10, fused.shape[1] - 10))
    for i, j in np.ndindex(quality.shape):
        patches = [source[i : i + 11, j : j + 11] for source in sources]
        bare = [patch - patch.mean() for patch in patches]
        lengths = [np.linalg.norm(patch) for patch in bare]
        consistency = np.linalg.norm(np.sum(bare, axis=0)) / sum(lengths)
        power = min(np.tan(np.pi / 2 * consistency), 10)
        strengths = [length + 0.001 for length in lengths]
        shares = np.array([(strength / 11) ** power for strength in strengths])
        wanted = sum(s * b / e for s, b, e in zip(shares / shares.sum(), bare, strengths, strict=True))
        wanted = wanted / np.linalg.norm(wanted) * max(strengths)
        result = fused[i : i + 11, j : j + 11]
        wanted_bare, result_bare = wanted - (gauss * wanted).sum(), result - (gauss * result).sum()
        both = (gauss * wanted_bare * result_bare).sum()
        spread = (gauss * wanted_bare**2).sum() + (gauss * result_bare**2).sum()
        quality[i, j] = (2 * both + (0.03 * 255) ** 2) / (spread + (0.03 * 255) ** 2)
    return quality


@pytest.mark.parametrize("count", [2, 3])
def test_mef_ssim_by_moments_equals_mef_ssim_by_windows(count: int) -> None:
    generator = np.random.default_rng(4)
    sources = [np.floor(generator.uniform(0, 256, (24, 27))) for _ in range(count)]
    fused = np.floor(generator.uniform(0, 256, (24, 27)))
    assert np.abs(_structure_map(sources, fused) - literal_structure(sources, fused)).max() < 1e-8


def test_mef_ssim_prefers_structure_and_does_not_see_the_order_of_exposures() -> None:
    under, over = bracket(96, 120)
    fused = METHODS["mertens"].load()([under, over])
    score = registry.mef_ssim([under, over], fused)
    assert score == pytest.approx(registry.mef_ssim([over, under], fused), abs=1e-12)
    assert registry.mef_ssim([under, over], cv2.blur(fused, (5, 5))) < score < 1
    assert registry.mef_ssim([under, under], under) == pytest.approx(1, abs=1e-6)
    assert registry.mef_ssim([under, over], 255 - fused) == 0


def test_the_colour_form_sees_what_the_grey_one_does_not() -> None:
    picture = (bracket(96, 120)[0] * 0.5 + 40).astype(np.uint8)
    grey = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    twice = [picture, picture]
    assert registry.mef_ssim_colour(twice, picture) == pytest.approx(1, abs=1e-3)
    for changed in (picture + 60, grey):
        assert registry.mef_ssim(twice, changed) > 0.99
        assert registry.mef_ssim_colour(twice, changed) < 0.9


def test_the_colour_form_wants_the_brightness_of_the_better_exposure() -> None:
    dark, middle = np.full((64, 64, 3), 10, np.uint8), np.full((64, 64, 3), 128, np.uint8)
    scores = [registry.mef_ssim_colour([dark, middle], np.full_like(dark, code)) for code in (10, 70, 110, 250)]
    assert scores[0] < scores[1] < scores[2] > scores[3]


def test_too_small_a_picture_is_refused() -> None:
    small = bracket(40, 100)
    with pytest.raises(FusionError, match="44 pixels"):
        registry.mef_ssim(small, small[0])


def test_entropy_counts_bits() -> None:
    picture = np.zeros((16, 16, 3), np.uint8)
    assert registry.entropy(picture) == 0
    picture[:8] = 200
    assert registry.entropy(picture) == pytest.approx(1)
    every_code = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    assert registry.entropy(every_code) == pytest.approx(8)


def test_gradient_and_frequency_of_a_ramp() -> None:
    ramp = np.tile(np.arange(0, 200, 4, dtype=np.uint8)[None, :, None], (40, 1, 3))
    assert registry.average_gradient(ramp) == pytest.approx(4 / math.sqrt(2) * (40 * 50) / (39 * 49))
    assert registry.spatial_frequency(ramp) == pytest.approx(4 * math.sqrt(49 / 50))


def test_edge_transfer_is_high_for_the_source_itself_and_low_for_a_blurred_one() -> None:
    picture = bracket(64, 80)[1]
    itself = registry.edge_transfer([picture, picture], picture)
    blurred = registry.edge_transfer([picture, picture], cv2.blur(picture, (7, 7)))
    assert itself == pytest.approx(0.9994 / (1 + math.exp(-7.5)) * 0.9879 / (1 + math.exp(-4.4)))
    assert blurred < 0.5
    flat = np.zeros((32, 32, 3), np.uint8)
    assert registry.edge_transfer([flat, flat], flat) < 1e-3 or math.isnan(registry.edge_transfer([flat, flat], flat))


def test_edge_width_is_the_length_of_the_slope() -> None:
    row = np.array([10, 10, 10, 20, 30, 40, 50, 50, 50, 30, 10, 10], float)
    widths = edge_widths(np.tile(row, (3, 1)))
    assert widths[1].tolist()[3:6] == [4, 4, 4]
    assert widths[1].tolist()[9] == 2


def test_jnbm_falls_with_blur_and_is_undefined_without_edges() -> None:
    stripes = np.zeros((128, 192, 3), np.uint8)
    stripes[:, ::16], stripes[:, 1::16], stripes[:, 2::16] = 220, 220, 220
    scores = [registry.jnbm(stripes), *(registry.jnbm(cv2.GaussianBlur(stripes, (0, 0), s)) for s in (1.0, 2.0))]
    assert scores[0] > scores[1] > scores[2] > 0
    assert math.isnan(registry.jnbm(np.full((128, 128, 3), 90, np.uint8)))
    assert math.isnan(registry.jnbm(stripes[:60]))


def colour_patch(lightness: float, chroma: float, hue: float) -> Pixels:
    angle = math.radians(hue)
    lab = np.array([[[lightness, chroma * math.cos(angle), chroma * math.sin(angle)]]], np.float32)
    code = np.rint(cv2.cvtColor(lab, cv2.COLOR_Lab2BGR) * 255).astype(np.uint8)
    return np.tile(code, (16, 16, 1))


def test_hue_error_is_in_degrees_also_across_the_turn() -> None:
    under, over = colour_patch(12, 10, 350), colour_patch(55, 40, 350)
    same = registry.colour_fidelity([under, over], over)
    turned = registry.colour_fidelity([under, over], colour_patch(55, 30, 20))
    assert same.hue_error < 1e-6
    assert same.chroma_ratio == pytest.approx(1)
    assert turned.hue_error == pytest.approx(30, abs=1)
    assert turned.chroma_ratio == pytest.approx(0.75, abs=0.02)
    assert turned.trusted == 1


def test_a_clipped_source_is_never_the_reference() -> None:
    under, clipped = colour_patch(40, 30, 100), np.full((16, 16, 3), (120, 180, 255), np.uint8)
    assert registry.colour_fidelity([under, clipped], under).hue_error < 1e-6
    nothing = registry.colour_fidelity([clipped, clipped], under)
    assert math.isnan(nothing.hue_error)
    assert nothing.trusted == 0


# Against the scores that the MEFB benchmark publishes ---------------------------------------------------------------

DATA = Path(os.environ.get("LIVEMEF_DATA", Path(__file__).parents[3] / ".." / "shared" / "data"))
DEV = DATA / "dev"
QUICK = ("Studio", "YellowHall", "Chair", "WindowTrim")
OTHER_SIZE = "PantrySmallISO"
"""Its published scores are of pictures of another size."""

needs_photographs = pytest.mark.skipif(
    not (DEV / "published_scores.csv").is_file(), reason=f"no photographs in {DEV} (LIVEMEF_DATA names their folder)"
)


def published() -> dict[tuple[str, str], dict[str, str]]:
    with (DEV / "published_scores.csv").open() as file:
        return {(row["scene"], row["method"]): row for row in csv.DictReader(file)}


def compare_with_published(scene: str) -> None:
    files = [next((DEV / scene).glob(f"{name}.*")) for name in ("under", "over")]
    exposures = [cv2.imread(str(file)) for file in files]
    for name in ("dem", "dsift_ef"):
        fused = METHODS[name].load()(exposures)
        if files[0].suffix == ".jpg":
            fused = cv2.imdecode(cv2.imencode(".jpg", fused, [cv2.IMWRITE_JPEG_QUALITY, 75])[1], cv2.IMREAD_COLOR)
        row = published()[scene, name.upper()]
        assert registry.mef_ssim(exposures, fused) == pytest.approx(float(row["MEF_SSIM"]), abs=5e-5), name
        assert registry.edge_transfer(exposures, fused) == pytest.approx(float(row["Qabf"]), abs=5e-4), name
        assert registry.entropy(fused) == pytest.approx(float(row["Entropy"]), abs=1e-3), name
        assert registry.average_gradient(fused) == pytest.approx(float(row["Avg_gradient"]), abs=1e-3), name
        assert registry.spatial_frequency(fused) == pytest.approx(float(row["Spatial_frequency"]), abs=1e-3), name


@needs_photographs
@pytest.mark.parametrize("scene", QUICK)
def test_published_scores_are_reproduced(scene: str) -> None:
    compare_with_published(scene)


@needs_photographs
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_published_scores_are_reproduced_on_every_scene() -> None:
    scenes = {scene for scene, _ in published()} - {OTHER_SIZE}
    assert len(scenes) >= 27
    for scene in sorted(scenes):
        compare_with_published(scene)
