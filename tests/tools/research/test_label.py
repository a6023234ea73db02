from pathlib import Path

import cv2
import numpy as np
import pytest

from livemef.engine.dataset import open_cache
from livemef.errors import LivemefError
from livemef.fusion.errors import FusionError
from livemef.fusion.method.colour import decode, encode, lab_from_linear
from livemef.fusion.method.colour_transfer import grey_code
from livemef.fusion.methods import mertens
from livemef.tools.research.label import ev_gap, lightness_plane, make_stacks


def exposures(light: tuple[float, ...], seed: int = 0, height: int = 96, width: int = 128) -> list[np.ndarray]:
    """A made scene of 9 stops, BGR uint8, at these exposures."""
    rng = np.random.default_rng(seed)
    radiance = cv2.GaussianBlur(rng.random((height, width, 3)), (0, 0), 4)
    radiance = np.exp2(9.0 * (radiance - radiance.min()) / np.ptp(radiance) - 6.0)
    return [np.rint(encode(np.clip(radiance * amount, 0, 1)) * 255).astype(np.uint8) for amount in light]


def write_scene(folder: Path, pictures: list[np.ndarray]) -> None:
    folder.mkdir(parents=True)
    for number, picture in enumerate(pictures):
        assert cv2.imwrite(str(folder / f"{number}.png"), picture)


@pytest.mark.parametrize("gap", [1.0, 2.5, 4.0])
def test_the_gap_is_found_from_the_pictures(gap: float) -> None:
    dark, bright = exposures((0.25, 0.25 * 2.0**gap))
    assert ev_gap(dark, bright) == pytest.approx(gap, abs=0.15)


def test_a_gap_beyond_measuring_is_still_a_large_one() -> None:
    dark, bright = exposures((0.002, 60.0))
    assert ev_gap(dark, bright) > 5.0


def test_lightness_is_that_of_the_grey_with_the_luma() -> None:
    picture = np.random.default_rng(2).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    luma = picture / 255.0 @ [0.0722, 0.7152, 0.2126]
    np.testing.assert_allclose(grey_code(100.0 * lightness_plane(picture).astype(float)), luma, atol=2e-4)
    grey = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 3, axis=2)
    wanted = lab_from_linear(decode(grey / 255.0))[0] / 100.0
    np.testing.assert_allclose(lightness_plane(grey), wanted, atol=1e-5)


def test_stacks_of_the_wanted_gaps_are_cached(tmp_path: Path) -> None:
    write_scene(tmp_path / "in/three", exposures((0.02, 0.16, 1.28)))
    write_scene(tmp_path / "in/close", exposures((0.5, 1.0), seed=1))
    write_scene(tmp_path / "in/lonely", exposures((1.0,)))
    (tmp_path / "in/index.csv").write_text("scene,frame,group\nthree,0,7\n")
    summary = make_stacks(tmp_path / "in", tmp_path / "cache", ev_min=2.0, ev_max=4.0)
    cache = open_cache(tmp_path / "cache")
    found = {(entry.scene, entry.frames): entry for entry in cache.entries}
    assert set(found) == {("three", (0, 1)), ("three", (1, 2)), ("close", (0, 1))}
    assert found["three", (0, 1)].evs == (0.0, pytest.approx(3.0, abs=0.2))
    assert found["close", (0, 1)].evs[1] == pytest.approx(1.0, abs=0.2), "a scene without such a stack gives its widest"
    assert {entry.group for entry in cache.entries} == {"group 7", "close"}
    assert (summary.scenes, summary.stacks) == (2, 3)


def test_a_stack_holds_what_lies_between_its_ends(tmp_path: Path) -> None:
    write_scene(tmp_path / "in/three", exposures((0.02, 0.16, 1.28)))
    make_stacks(tmp_path / "in", tmp_path / "cache", ev_min=2.0)
    found = [entry.frames for entry in open_cache(tmp_path / "cache").entries]
    assert found == [(0, 1), (0, 1, 2), (1, 2)]


def test_whole_series_make_one_stack_each(tmp_path: Path) -> None:
    write_scene(tmp_path / "in/three", exposures((0.02, 0.16, 1.28)))
    write_scene(tmp_path / "in/close", exposures((0.5, 1.0), seed=1))
    make_stacks(tmp_path / "in", tmp_path / "cache", ev_min=4.0, whole=True)
    assert [entry.frames for entry in open_cache(tmp_path / "cache").entries] == [(0, 1), (0, 1, 2)]


def test_cached_planes_are_the_pictures_lightness_and_targets(tmp_path: Path) -> None:
    pictures = exposures((0.02, 0.16, 1.28))
    write_scene(tmp_path / "in/scene", pictures)
    make_stacks(tmp_path / "in", tmp_path / "cache", ev_min=5.0, ev_max=7.0)
    cache = open_cache(tmp_path / "cache")
    (entry,) = cache.entries
    planes = cache.load(entry) / 65535.0
    assert cache.targets == ("mitm", "mertens")
    for plane, picture in zip(planes[:3], pictures, strict=True):
        np.testing.assert_allclose(plane, lightness_plane(picture), atol=1e-4)
    fused = mertens.fuse(pictures).astype(np.float64) @ [0.114, 0.587, 0.299]
    wanted = lab_from_linear(decode(np.repeat(fused[..., None], 3, axis=2) / 255.0))[0] / 100.0
    np.testing.assert_allclose(planes[4], wanted, atol=1e-4)
    assert np.ptp(planes[3]) > 0.8


def test_exposures_are_sorted_by_brightness(tmp_path: Path) -> None:
    write_scene(tmp_path / "in/scene", exposures((4.0, 0.25)))
    make_stacks(tmp_path / "in", tmp_path / "cache")
    cache = open_cache(tmp_path / "cache")
    planes = cache.load(cache.entries[0])
    assert planes[0].mean() < planes[1].mean()


def refused(folder: Path, cache: Path, *parts: str) -> None:
    with pytest.raises(LivemefError) as error:
        make_stacks(folder, cache)
    assert "\n" not in str(error.value)
    for part in parts:
        assert part in str(error.value)
    assert not (cache / "index.json").exists()


def test_a_folder_without_brackets_is_refused(tmp_path: Path) -> None:
    write_scene(tmp_path / "in/lonely", exposures((1.0,)))
    refused(tmp_path / "in", tmp_path / "cache", "two or more exposures")
    refused(tmp_path / "none", tmp_path / "cache", "none")


def test_an_unreadable_picture_is_named(tmp_path: Path) -> None:
    write_scene(tmp_path / "in/scene", exposures((0.2, 2.0)))
    (tmp_path / "in/scene/1.png").write_bytes(b"\x89PNG")
    refused(tmp_path / "in", tmp_path / "cache", "1.png")


def test_pictures_of_two_sizes_are_refused(tmp_path: Path) -> None:
    write_scene(tmp_path / "in/scene", [exposures((0.2,))[0], exposures((2.0,), height=100)[0]])
    refused(tmp_path / "in", tmp_path / "cache", "1.png", "128x100")


def test_an_index_without_groups_is_refused(tmp_path: Path) -> None:
    write_scene(tmp_path / "in/scene", exposures((0.2, 2.0)))
    (tmp_path / "in/index.csv").write_text("name,size\n")
    refused(tmp_path / "in", tmp_path / "cache", "index.csv", "group")


def test_a_senseless_range_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FusionError, match="EV gap"):
        make_stacks(tmp_path, tmp_path / "cache", ev_min=5.0, ev_max=2.0)
