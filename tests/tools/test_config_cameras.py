"""[control.cameras]: cameras that may be chosen by name, and which one is in use."""

from pathlib import Path

import pytest

from livemef.tools.config.sources import load_config
from livemef.tools.config.text import effective_toml
from livemef.tools.exits import UserError

FILE = """
[capture]
camera = "sim://?size=320x240"
profile = "own.toml"
[control]
camera = "macro"
[control.cameras]
front = "csi://0"
macro = { camera = "v4l2:///dev/video2", profile = "macro.toml" }
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "livemef.toml"
    file.write_text(text)
    return file


def test_a_camera_is_a_uri_or_a_uri_with_its_profile(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, FILE), {}, {}).config
    assert {name: (one.camera, one.profile) for name, one in config.control.cameras.items()} == {
        "front": ("csi://0", ""),
        "macro": ("v4l2:///dev/video2", "macro.toml"),
    }
    assert config.camera_in_use == config.control.cameras["macro"]
    own = load_config(written(tmp_path, FILE), {"control.camera": ""}, {}).config.camera_in_use
    assert (own.camera, own.profile) == ("sim://?size=320x240", "own.toml")
    chosen = load_config(written(tmp_path, FILE), {}, {"LIVEMEF_CONTROL__CAMERA": "front"}).config
    assert chosen.camera_in_use.camera == "csi://0"


def test_what_is_printed_can_be_read_again(tmp_path: Path) -> None:
    loaded = load_config(written(tmp_path, FILE), {}, {})
    printed = effective_toml(loaded)
    assert load_config(written(tmp_path, printed), {}, {}).config == loaded.config


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[control]\ncamera = "rear"\n[control.cameras]\nfront = "csi://0"', "line 2.*'rear'.* has front"),
        ('[control]\ncamera = "rear"', "has none"),
        ('[control.cameras]\n"a b" = "csi://0"', "line 2.*names have letters"),
        ('[control.cameras]\n"../x" = "csi://0"', "names have letters"),
        ("[control.cameras]\nfront = 3", "line 2.*give a URI"),
        ('[control.cameras]\nfront = { uri = "csi://0" }', "line 2.*give a URI"),
        ('[control.cameras]\nfront = { camera = "csi://0", gain = 2 }', "give a URI"),
        ('[control]\ncameras = "csi://0"', "no setting is called control.cameras"),
    ],
)
def test_mistakes_name_their_place(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        load_config(written(tmp_path, text), {}, {})
    assert "\n" not in str(caught.value)
