"""Which keys a network client may change, and what is said of a change that cannot be made."""

import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livemef.fusion.settings import FusionSettings
from livemef.tools.config.live_keys import (
    LIVE_KEYS,
    TABLES,
    ChangeRefused,
    changed_config,
    described_keys,
    described_keys_of,
    differences,
    live_values,
)
from livemef.tools.config.schema import Config

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=5), values, max_size=3),
    max_leaves=5,
)
PLACES = re.compile(r"profile|model|endpoint|host|port|path|file|folder|token|key|command|url|uri|wire|cameras")
HOSTILE = (
    *(
        "/etc/passwd",
        "v4l2:///dev/video0",
        "tcp://0.0.0.0:1",
        "1ms,$(reboot)",
        "http://x",
        "file://.",
        "..",
        "a b",
        "a;b",
    ),
    *("0", "front\n", "\0", "~"),
)
CAMERAS = Config.model_validate(
    {"control": {"cameras": {"front": "csi://0", "0": {"camera": "sim://", "profile": "x"}}}}
)


def test_no_key_can_hold_a_path_a_device_an_address_or_a_command() -> None:
    for key, known in LIVE_KEYS.items():
        assert not PLACES.search(key.split(".")[1]), key
        for choice in known.choices:
            assert re.fullmatch(r"[a-z0-9]*", str(choice)), key
        if known.kind == "text":
            assert key in ("capture.exposures", "control.camera")
            table, name = key.split(".")
            for text in HOSTILE:
                with pytest.raises(ChangeRefused, match=key):
                    changed_config(Config(), table, {name: text})


def test_a_camera_is_one_of_those_that_the_configuration_names() -> None:
    for name in ("front", "0", ""):
        after = changed_config(CAMERAS, "control", {"camera": name})
        assert after.control.camera == name
        assert after.control.cameras == CAMERAS.control.cameras
    assert changed_config(CAMERAS, "control", {"camera": "front"}).camera_in_use.camera == "csi://0"
    assert changed_config(CAMERAS, "control", {"camera": "0"}).camera_in_use.profile == "x"
    for name in ("csi://0", "rear", "Front", "cameras", *HOSTILE[:9]):
        with pytest.raises(ChangeRefused, match=r"'front'|a camera's name") as caught:
            changed_config(CAMERAS, "control", {"camera": name})
        assert caught.value.errors[0].key == "control.camera"
    with pytest.raises(ChangeRefused, match="names no camera"):
        changed_config(Config(), "control", {"camera": "front"})
    with pytest.raises(ChangeRefused, match=r"cannot be changed while|is no setting"):
        changed_config(CAMERAS, "control", {"cameras": {"front": "csi://1"}})
    assert described_keys_of(CAMERAS)["control.camera"]["words"] == ["", "front", "0"]


def test_every_fusion_setting_is_a_live_key_and_each_is_described() -> None:
    assert {key for key in LIVE_KEYS if key.startswith("fusion.")} == {
        f"fusion.{name}" for name in FusionSettings().as_dict()
    }
    for key, described in described_keys().items():
        assert described["help"], key
        assert not LIVE_KEYS[key].fault(described["default"]), key


@pytest.mark.parametrize(
    ("table", "change", "keys"),
    [
        ("fusion", {"gamma": 9.0, "gama": 1.0, "colour": "tone"}, ["fusion.gamma", "fusion.gama"]),
        ("fusion", {"network_lines": 90.5}, ["fusion.network_lines"]),
        ("fusion", {"gamma": True}, ["fusion.gamma"]),
        ("fusion", {"gamma": math.nan}, ["fusion.gamma"]),
        ("fusion", {"gamma": 10**400}, ["fusion.gamma"]),
        ("capture", {"camera": "v4l2:///dev/video0"}, ["capture.camera"]),
        ("capture", {"exposures": "1x"}, ["capture.exposures"]),
        ("capture", {"exposures": "", "gain": 0}, ["capture.exposures", "capture.gain"]),
        ("capture", {"mains_hz": True}, ["capture.mains_hz"]),
        ("publish", {"endpoint": "pub+bind:tcp://0.0.0.0:1"}, ["publish.endpoint"]),
        ("preview", {"token": ""}, ["preview.token"]),
        ("runtime", {"model": "x.onnx", "threads": 257}, ["runtime.model", "runtime.threads"]),
        ("runtime", {"device": "/dev/nvidia0"}, ["runtime.device"]),
        ("control", {"folder": "/", "endpoint": "tcp://0.0.0.0:1"}, ["control.folder", "control.endpoint"]),
        ("nowhere", {"x": 1}, ["nowhere.x"]),
    ],
)
def test_all_that_is_wrong_is_named(table: str, change: dict[str, Any], keys: list[str]) -> None:
    with pytest.raises(ChangeRefused) as caught:
        changed_config(Config(), table, change)
    assert [error.key for error in caught.value.errors] == keys


@given(st.sampled_from(TABLES), st.dictionaries(st.sampled_from([*LIVE_KEYS, "x"]), JSON, max_size=3))
def test_whatever_is_sent_is_refused_or_leaves_a_valid_configuration(table: str, change: dict[str, Any]) -> None:
    change = {key.rpartition(".")[2]: value for key, value in change.items()}
    try:
        after = changed_config(Config(), table, change)
    except ChangeRefused:
        return
    Config.model_validate(after.model_dump())
    for key, value in differences(Config(), after).items():
        assert change[key.rpartition(".")[2]] == value


def test_other_tables_stay_as_they_are() -> None:
    after = changed_config(Config(), "fusion", {"gamma": "adaptive", "network_lines": 0})
    assert differences(Config(), after) == {"fusion.gamma": "adaptive", "fusion.network_lines": 0}
    assert live_values(after)["capture"] == live_values(Config())["capture"]
