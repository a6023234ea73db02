from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livemef.capture.frame import Pixels
from livemef.fusion.errors import FusionError
from livemef.fusion.methods.registry import METHODS, FuseFunction, find_method

PLAIN = ("msr", "msr_b", "dsift_ef", "dsift_ef_dynamic", "dem", "dbm", "mertens")


def scene(height: int, width: int, count: int = 2, seed: int = 0) -> list[Pixels]:
    """Exposures, dark to bright, of a smooth random scene with a bright half."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    light = 0.25 + 0.1 * np.sin(rows / 3)[..., None] + 0.1 * np.cos(columns / 4)[..., None]
    light = light * (1 + 8 * (columns > width // 2))[..., None] * generator.uniform(0.6, 1.0, 3)
    stops = np.linspace(-2, 1.5, count)
    return [np.clip(255 * (light * 2.0**stop) ** (1 / 2.2), 0, 255).astype(np.uint8) for stop in stops]


@pytest.mark.parametrize("name", PLAIN)
@given(height=st.integers(16, 75), width=st.integers(16, 75), count=st.integers(2, 4))
@settings(max_examples=15, deadline=None)
def test_any_size_and_count_gives_a_picture_of_the_same_size(name: str, height: int, width: int, count: int) -> None:
    exposures = scene(height, width, count)
    before = [picture.copy() for picture in exposures]
    fused = METHODS[name].load()(exposures)
    assert fused.shape == (height, width, 3)
    assert fused.dtype == np.uint8
    assert all(np.array_equal(old, new) for old, new in zip(before, exposures, strict=True))


@pytest.mark.parametrize(("name", "codes"), [("dsift_ef", 0), ("dem", 2), ("dbm", 3), ("mertens", 1)])
def test_exposures_that_are_all_alike_come_back_as_they_are(name: str, codes: int) -> None:
    picture = scene(60, 91, 3)[1]
    fused = METHODS[name].load()([picture, picture])
    assert np.abs(fused.astype(int) - picture).max() <= codes


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("code", [0, 128, 255])
def test_flat_exposures_stay_flat(name: str, code: int) -> None:
    flat = np.full((48, 64, 3), code, np.uint8)
    fused = METHODS[name].load()([flat, flat])
    assert np.ptp(fused, axis=(0, 1)).max() <= 1


@pytest.mark.parametrize("name", ["dsift_ef", "dem", "dbm", "mertens"])
def test_either_half_comes_from_the_exposure_that_shows_it(name: str) -> None:
    generator = np.random.default_rng(3)
    texture = generator.integers(60, 180, (128, 128, 1), np.uint8).repeat(3, axis=2)
    under, over = texture.copy(), texture.copy()
    under[:, :64], over[:, 64:] = 2, 253
    fused = METHODS[name].load()([under, over])
    for half in (np.s_[16:-16, 8:40], np.s_[16:-16, 88:120]):
        kept = np.corrcoef(fused[half][..., 1].ravel(), texture[half][..., 0].ravel())[0, 1]
        assert kept > 0.9


def test_the_dynamic_setting_leaves_out_what_one_exposure_alone_shows() -> None:
    generator = np.random.default_rng(3)
    texture = generator.integers(60, 180, (128, 128, 1), np.uint8).repeat(3, axis=2)
    darker, brighter = (np.clip(texture * factor, 0, 255).astype(np.uint8) for factor in (0.7, 1.3))
    visitor = generator.integers(40, 220, (48, 48, 1), np.uint8)
    brighter[40:88, 40:88] = visitor
    inside = np.s_[48:80, 48:80, 1]
    like = {}
    for name in ("dsift_ef", "dsift_ef_dynamic"):
        fused = METHODS[name].load()([darker, texture, brighter])
        like[name] = np.corrcoef(fused[inside].ravel(), texture[inside].ravel())[0, 1]
    assert like["dsift_ef_dynamic"] > 0.95
    assert like["dsift_ef"] < 0.6


def fusers() -> list[FuseFunction]:
    return [METHODS[name].load() for name in PLAIN]


@pytest.mark.parametrize(
    ("exposures", "complaint"),
    [
        ([], "0 exposure"),
        ([np.zeros((32, 32, 3), np.uint8)], "two or more"),
        ([np.zeros((32, 32, 3), np.uint8), np.zeros((32, 33, 3), np.uint8)], "33x32"),
        ([np.zeros((32, 32, 3), np.uint16)] * 2, "uint16"),
        ([np.zeros((32, 32), np.uint8)] * 2, "HxWx3"),
        ([np.zeros((32, 15, 3), np.uint8)] * 2, "16 or more"),
    ],
)
def test_what_cannot_be_fused_is_refused(exposures: list[Pixels], complaint: str) -> None:
    for fuse in fusers():
        with pytest.raises(FusionError, match=complaint):
            fuse(exposures)


def test_the_registry_holds_the_papers_systems_and_the_yardstick() -> None:
    assert {"cbm", "cbm_full", "cbm_paper", "mitm", "msr", "msr_b", *PLAIN} == set(METHODS)
    assert {name for name, method in METHODS.items() if method.our_reading} == {
        "cbm_paper", "mitm", "msr", "msr_b", "dbm"
    }  # fmt: skip


def test_a_misspelt_method_is_told_the_nearest() -> None:
    with pytest.raises(FusionError, match="did you mean dsift_ef"):
        find_method("dsift_fe")


def test_listing_methods_imports_none_of_them() -> None:
    code = (
        "import sys, livemef.fusion.methods.registry\n"
        "heavy = [n for n in sys.modules if n in ('onnxruntime', 'torch', 'cv2') "
        "or n.startswith('livemef.fusion.methods.d')]\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
