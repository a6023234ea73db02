"""A project with an object that was imported from another camera."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from livemef.capture.srgb import encode
from livemef.fusion.method.colour import to_codes
from livemef.tools.cli import main


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two photographs of one scene, 1 and 8 ms, as another camera writes them."""
    folder = tmp_path_factory.mktemp("camera")
    light = 0.9 * 2.0 ** np.random.default_rng(2).uniform(-7, 0, (60, 80, 3))
    files = []
    for number, seconds in enumerate((0.001, 0.008)):
        codes = to_codes(encode(np.clip(light * seconds / 0.001, 0, 1)), np.dtype("uint8"))
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0x829A] = IFDRational(round(seconds * 1000), 1000)
        files.append(folder / f"IMG_{number}.webp")
        Image.fromarray(codes[..., ::-1]).save(files[-1], lossless=True, exif=exif)
    return files


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, pictures: list[Path]) -> Path:
    """A project with these imported as object KR-9."""
    folder = tmp_path_factory.mktemp("field") / "museum"
    assert main(["shoot", "new", str(folder)]) == 0
    assert main(["shoot", "import", str(folder), "KR-9", *map(str, reversed(pictures))]) == 0
    return folder
