"""In which order pictures make a bracket, which way up they are, and what is odd about them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from livemef.capture.errors import CaptureError
from livemef.capture.files.bracket_folder import find_brackets, read_bracket
from livemef.capture.files.exif import Exif, relative_exposures
from livemef.capture.frame import Exposure, Pixels
from tests.tools.command import bracket


@settings(deadline=None)
@given(st.permutations(range(5)))
def test_exposures_are_known_where_exif_tells_the_pictures_apart(order: list[int]) -> None:
    photographs = [Exif(exposure_us=1000.0 * 2.0**place) for place in order]
    assert relative_exposures(photographs) == tuple(Exposure(1000.0 * 2.0**place) for place in order)
    assert relative_exposures([*photographs[:-1], Exif()]) is None
    assert relative_exposures([photographs[0]] * 3) is None


def test_apertures_that_differ_are_part_of_the_gain() -> None:
    both = [Exif(exposure_us=10_000.0, f_number=2.0), Exif(exposure_us=30_000.0, f_number=8.0)]
    first, second = relative_exposures(both) or ()
    assert first.light == 10_000.0
    assert second.light == pytest.approx(30_000.0 / 16)
    assert relative_exposures([Exif(exposure_us=1000.0, f_number=8.0), Exif(exposure_us=1000.0, f_number=2.0)])
    # a lens without contacts in one picture: apertures say nothing
    assert relative_exposures([both[0], Exif(exposure_us=30_000.0)]) == (Exposure(10_000.0), Exposure(30_000.0))


def save(path: Path, pixels: Pixels, orientation: int = 1, seconds: float | None = None, **detail: float) -> Path:
    exif = Image.Exif()
    exif[0x0112] = orientation
    if seconds is not None:
        exif.get_ifd(0x8769)[0x829A] = seconds
    if "f_number" in detail:
        exif.get_ifd(0x8769)[0x829D] = detail["f_number"]
    Image.fromarray(np.ascontiguousarray(pixels[..., ::-1])).save(path, exif=exif)
    return path


def test_one_rule_of_order(tmp_path: Path) -> None:
    under, over = bracket()
    # names that say otherwise do not count
    save(tmp_path / "under.png", over)
    save(tmp_path / "over.png", under)
    assert [file.name for file in find_brackets(tmp_path)[0].files] == ["over.png", "under.png"]
    # exposure goes before brightness, aperture included: 1/100 s at f/2 is more light than 1/30 s at f/8
    a = save(tmp_path / "a.jpg", under, seconds=1 / 100, f_number=2.0)
    b = save(tmp_path / "b.jpg", over, seconds=1 / 30, f_number=8.0)
    read = read_bracket([a, b])
    assert read.names == ("b.jpg", "a.jpg")
    assert read.exposures is not None
    assert read.exposures[1].light > read.exposures[0].light


@pytest.mark.parametrize("wrong", [3, 2, 4])
def test_a_camera_that_guessed_one_orientation_wrong(tmp_path: Path, wrong: int) -> None:
    under, over = bracket()
    files = [save(tmp_path / "a.png", under, wrong), save(tmp_path / "b.png", over)]
    read = read_bracket(files)
    assert np.array_equal(read.pixels[0], under)
    assert np.array_equal(read.pixels[1], over)
    assert "orientation" in read.notes[0]


@pytest.mark.parametrize("turned", [3, 6, 8])
def test_a_program_that_turned_one_picture_and_said_so(tmp_path: Path, turned: int) -> None:
    under, over = bracket()
    stored = np.rot90(under, {3: 2, 6: 1, 8: 3}[turned])
    read = read_bracket([save(tmp_path / "a.png", stored, turned), save(tmp_path / "b.png", over)])
    assert np.array_equal(read.pixels[0], under)
    assert read.notes == ()


def test_orientations_that_nothing_decides_are_refused(tmp_path: Path) -> None:
    flat = [np.full((40, 60, 3), level, np.uint8) for level in (50, 150)]
    files = [save(tmp_path / "a.png", flat[0], 3), save(tmp_path / "b.png", flat[1], 1)]
    with pytest.raises(CaptureError, match="orientations disagree"):
        read_bracket(files)


def test_the_same_picture_twice_is_noted(tmp_path: Path) -> None:
    under, over = bracket()
    files = [save(tmp_path / f"{name}.png", pixels) for name, pixels in (("a", under), ("b", under), ("c", over))]
    assert read_bracket(files).notes == ("a.png and b.png are the same picture: is one of them missing?",)


def test_many_alike_are_one_note(tmp_path: Path) -> None:
    files = [save(tmp_path / f"{name}.png", bracket()[0]) for name in "abcd"]
    assert read_bracket(files).notes == ("a.png, b.png, c.png and d.png are the same picture: is one of them missing?",)


def test_a_folder_of_many_scenes_is_no_bracket(tmp_path: Path) -> None:
    for number in range(65):
        save(tmp_path / f"{number}.png", np.full((4, 4, 3), number, np.uint8))
    with pytest.raises(CaptureError, match="65 pictures for one scene, 64 are the most"):
        find_brackets(tmp_path)


def test_a_link_to_nothing_is_a_missing_exposure(tmp_path: Path) -> None:
    for name, pixels in zip(("a.png", "b.png"), bracket(), strict=True):
        save(tmp_path / name, pixels)
    (tmp_path / "c.png").symlink_to("nowhere.png")
    with pytest.raises(CaptureError, match=r"c\.png: there is no such file"):
        find_brackets(tmp_path)


def test_raw_files_count_where_there_is_nothing_else(tmp_path: Path) -> None:
    for name in ("a.NEF", "b.NEF"):
        (tmp_path / name).write_bytes(b"MM\0*")
    with pytest.raises(CaptureError, match=r"a\.NEF"):
        find_brackets(tmp_path)
    for name, pixels in zip(("a.jpg", "b.jpg"), bracket(), strict=True):
        cv2.imwrite(str(tmp_path / name), pixels)
    assert [file.name for file in find_brackets(tmp_path)[0].files] == ["a.jpg", "b.jpg"]
