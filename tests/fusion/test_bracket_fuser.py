"""Fusing from a program gives the pixels that the verbs give."""

from pathlib import Path

import numpy as np
import pytest

import livemef
from livemef.fusion.bracket_fuser import STILLS, open_bracket_fuser
from livemef.tools.config.schema import Config
from tests.tools.command import bracket
from tests.tools.command import livemef as command


def test_fuse_gives_the_pixels_of_the_verb(tmp_path: Path) -> None:
    pictures = bracket()
    for name, picture in zip(("a", "b"), pictures, strict=True):
        livemef.write_picture(tmp_path / f"{name}.png", picture)
    done = command("fuse", tmp_path / "b.png", tmp_path / "a.png", "-o", tmp_path / "out.png")
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(livemef.read_picture(tmp_path / "out.png"), livemef.fuse(pictures))


def test_the_settings_for_stills_are_those_of_the_verb() -> None:
    stills = Config().stills
    assert (STILLS.network_lines, STILLS.motion) == (stills.network_lines, stills.motion)
    assert open_bracket_fuser(device="cpu").settings == Config().fusion


def test_a_path_is_no_picture() -> None:
    with pytest.raises(TypeError, match="read_picture"):
        livemef.fuse(["under.png", "over.png"])  # type: ignore[list-item]


def test_a_closed_fuser_says_so() -> None:
    with open_bracket_fuser(device="cpu") as fuser:
        assert fuser.device == "cpu"
    fuser.close()
    with pytest.raises(livemef.FusionError, match="has been closed"):
        fuser.fuse(bracket())
