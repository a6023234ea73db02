"""Small files that a person names: what is read, and what is refused without waiting."""

import os
from pathlib import Path

import pytest

from livemef.calibration.errors import CalibrationError
from livemef.calibration.profile import load_profile
from livemef.calibration.quality.levels import load_levels
from livemef.calibration.quality.targets import load_targets
from livemef.capture.errors import CaptureError
from livemef.capture.files.output_profile import output_profile
from livemef.capture.files.small_file import read_small_file
from livemef.tools.config.sources import read_file
from livemef.tools.exits import UserError


def test_a_file_is_read_up_to_the_limit(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"12345")
    assert read_small_file(file, 5) == b"12345"
    with pytest.raises(OSError, match="larger than 0 KiB"):
        read_small_file(file, 4)


@pytest.fixture(params=["pipe", "device", "folder"])
def endless(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """What cannot be read to its end."""
    if request.param == "device":
        return Path("/dev/zero")
    path = tmp_path / "endless"
    if request.param == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    return path


@pytest.mark.timeout(20)
def test_pipes_devices_and_folders_are_refused_by_every_reader(endless: Path) -> None:
    words = "pipe or a device|Is a directory"
    with pytest.raises(UserError, match=words):
        read_file(endless)
    for read in (load_profile, load_targets, load_levels):
        with pytest.raises(CalibrationError, match=words):
            read(endless)
    with pytest.raises(CaptureError, match=words):
        output_profile(str(endless))


def test_the_mark_that_windows_editors_write_is_no_part_of_a_configuration(tmp_path: Path) -> None:
    file = tmp_path / "livemef.toml"
    file.write_bytes(b"\xef\xbb\xbf[fusion]\r\ngamma = 0.9\r\n")
    (setting,) = read_file(file)
    assert (setting.key, setting.value, setting.origin) == ("fusion.gamma", 0.9, f"{file}, line 2")


def test_true_is_no_number(tmp_path: Path) -> None:
    file = tmp_path / "livemef.toml"
    file.write_text("[fusion]\ngamma = true\n")
    with pytest.raises(UserError, match=r"line 2: fusion.gamma: is true; it is no switch"):
        read_file(file)
    file.write_text('[capture]\ncorrect = false\n[publish]\ninsecure = true\n[control.cameras]\na = "sim://"\n')
    assert [setting.value for setting in read_file(file)] == [False, True, "sim://"]
