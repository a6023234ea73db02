"""Radiance maps: read back as they were written; what a small file claims is judged before it is decoded."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livemef.capture.errors import CaptureError
from livemef.capture.files.radiance import read_radiance, write_radiance

LIGHT = np.random.default_rng(3).lognormal(0, 2, (32, 48, 3)).astype(np.float32)


@pytest.mark.parametrize(("suffix", "error"), [(".hdr", 0.01), (".tif", 0.0)])
def test_what_is_written_is_read(tmp_path: Path, suffix: str, error: float) -> None:
    write_radiance(tmp_path / f"a{suffix}", LIGHT)
    brightest = LIGHT.max(axis=2, keepdims=True)
    assert (np.abs(read_radiance(tmp_path / f"a{suffix}") - LIGHT) <= error * brightest).all()


@pytest.mark.parametrize("size", ["-Y 60000 +X 60000", "-Y 20000 +X 20000", "-Y 999999999 +X 1", "-Y 8000 +X 8000"])
def test_small_files_that_claim_huge_maps(tmp_path: Path, size: str) -> None:
    (tmp_path / "a.hdr").write_bytes(f"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n{size}\n".encode() + bytes(400))
    with pytest.raises(CaptureError, match="radiance map"):
        read_radiance(tmp_path / "a.hdr")


def test_what_is_no_map(tmp_path: Path) -> None:
    (tmp_path / "text.hdr").write_text("no map")
    (tmp_path / "empty.hdr").touch()
    cv2.imwrite(str(tmp_path / "codes.png"), np.zeros((4, 4, 3), np.uint8))
    for path in (*tmp_path.iterdir(), tmp_path / "missing.hdr", tmp_path):
        with pytest.raises(CaptureError, match="radiance map"):
            read_radiance(path)


@settings(deadline=None, max_examples=60)
@given(at=st.floats(0, 1, exclude_max=True), junk=st.binary(min_size=1, max_size=12))
def test_damaged_maps_raise_one_kind_of_error(tmp_path_factory: pytest.TempPathFactory, at: float, junk: bytes) -> None:
    path = tmp_path_factory.mktemp("map") / "a.hdr"
    write_radiance(path, LIGHT)
    data = path.read_bytes()
    place = int(at * len(data))
    path.write_bytes(data[:place] + junk + data[place + len(junk) :])
    with suppress(CaptureError):
        assert np.isfinite(read_radiance(path)).all()
