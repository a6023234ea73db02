"""Settings: the annotated file tells the truth, later sources override earlier ones, mistakes name their place."""

import itertools
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livemef.tools.config.schema import Config
from livemef.tools.config.sources import (
    LoadedConfig,
    flag_name,
    flatten,
    known_keys,
    load_config,
    named_camera,
    nearest,
    variable_name,
)
from livemef.tools.config.text import annotated_default, effective_toml
from livemef.tools.config.toml_lines import lines_of_keys
from livemef.tools.exits import UserError
from tests.tools.command import assert_one_line, livemef

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def loaded(file: Path | None = None, flags: dict[str, Any] | None = None, **variables: str) -> LoadedConfig:
    return load_config(file, flags, variables)


def complaint(file: Path | None = None, flags: dict[str, Any] | None = None, **variables: str) -> str:
    with pytest.raises(UserError) as caught:
        load_config(file, flags, variables)
    return str(caught.value)


def as_typed(flat: dict[str, Any]) -> dict[str, Any]:
    return {key: 0 if key.endswith("network_lines") and value == "full" else value for key, value in flat.items()}


def test_annotated_file_is_the_built_in_defaults_key_for_key() -> None:
    assert as_typed(flatten(tomllib.loads(annotated_default()))) == flatten(Config().model_dump())


def test_every_key_of_the_annotated_file_has_a_comment() -> None:
    lines = annotated_default().splitlines()
    bare = [
        line
        for before, line in itertools.pairwise(lines)
        if "=" in line and not line.startswith("#") and not before.startswith("#") and line != "enabled = true"
    ]
    assert bare == []


def test_file_of_the_defaults_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "livemef.toml"
    path.write_text(annotated_default())
    assert loaded(path).config == Config()


def test_who_overrides_whom(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('[fusion]\ngamma = 0.7\nchroma = "weighted"\nwindow_radius = 8\n')
    variables = {"LIVEMEF_CONFIG": str(path), "LIVEMEF_FUSION__GAMMA": "0.8", "LIVEMEF_FUSION__CHROMA": "select"}
    config = loaded(flags={"fusion.gamma": "0.9", "fusion.chroma": None}, **variables).config
    assert config.fusion.gamma == 0.9
    assert config.fusion.chroma == "select"
    assert config.fusion.window_radius == 8
    assert config.fusion.window_eps == Config().fusion.window_eps


def test_named_file_goes_before_the_variable(tmp_path: Path) -> None:
    for name, port in (("a.toml", 1111), ("b.toml", 2222)):
        (tmp_path / name).write_text(f"[preview]\nport = {port}\n")
    variables = {"LIVEMEF_CONFIG": str(tmp_path / "a.toml")}
    assert loaded(**variables).config.preview.port == 1111
    assert loaded(tmp_path / "b.toml", **variables).config.preview.port == 2222


@pytest.mark.parametrize(("value", "expected"), [("adaptive", "adaptive"), ("1.2", 1.2), ("0.25", 0.25)])
def test_gamma_is_a_number_or_adaptive(value: str, expected: object) -> None:
    assert loaded(LIVEMEF_FUSION__GAMMA=value).config.fusion.gamma == expected


def test_full_is_all_lines() -> None:
    assert loaded(LIVEMEF_FUSION__NETWORK_LINES="full").config.fusion.network_lines == 0
    assert loaded(flags={"stills.network_lines": "270"}).config.stills.network_lines == 270


def test_every_key_has_the_line_where_it_stands() -> None:
    text = """# comment
preview.port = 1  # dotted

[ capture ]
  exposures = "1ms,2ms"
camera = "a"

[x.a]
q = [1,
2]
[fusion]
[x.b]
r = {s = 1, t = {u = 2}}
"qu.ot" = 3
[[z]]
last = 4
"""
    wanted = {"preview.port": 2, "capture.exposures": 5, "capture.camera": 6, "x.a.q": 9, "x.b.r.t.u": 13, "z": 15}
    lines = lines_of_keys(text)
    assert {key: lines[key] for key in wanted} == wanted
    assert lines["x.b.qu.ot"] == 14


@given(st.lists(st.sampled_from(known_keys()), unique=True), st.data())
def test_the_line_of_any_key_holds_its_name(keys: list[str], data: st.DataObject) -> None:
    blank = st.sampled_from(["", "\n", "  ", "# a = 1\n"])
    text = "".join(f"{data.draw(blank)}{key} = 1{data.draw(blank)}\n" for key in keys)
    lines = text.split("\n")
    assert {
        key: lines[line - 1].split(" = ")[0].strip() for key, line in lines_of_keys(text).items() if "." in key
    } == {key: key for key in keys}


class TestPrinted:
    def test_defaults_print_as_the_annotated_file(self) -> None:
        assert effective_toml(loaded()) == annotated_default()

    @settings(deadline=None)
    @given(
        camera=st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
        gamma=st.one_of(st.just("adaptive"), st.floats(0.25, 4)),
        lines=st.one_of(st.just("full"), st.integers(16, 4320)),
        enabled=st.booleans(),
    )
    def test_printed_settings_read_back_as_the_same(
        self, tmp_path_factory: pytest.TempPathFactory, camera: str, gamma: object, lines: object, enabled: bool
    ) -> None:
        flags = {"capture.camera": camera, "fusion.gamma": gamma, "fusion.network_lines": lines}
        first = loaded(flags=flags | {"preview.enabled": enabled})
        path = tmp_path_factory.mktemp("config") / "c.toml"
        path.write_text(effective_toml(first), encoding="utf-8", newline="")
        assert loaded(path).config == first.config

    def test_says_where_a_value_was_set(self, tmp_path: Path) -> None:
        path = tmp_path / "c.toml"
        path.write_text("\n[preview]\nport = 9000\n")
        text = effective_toml(loaded(path, LIVEMEF_FUSION__GAMMA="0.8"))
        assert f"port = 9000  # {path}, line 3" in text
        assert "gamma = 0.8  # LIVEMEF_FUSION__GAMMA" in text

    def test_secret_is_not_printed(self) -> None:
        text = effective_toml(loaded(LIVEMEF_PREVIEW__TOKEN="hunter2"))
        assert "hunter2" not in text
        assert "LIVEMEF_PREVIEW__TOKEN" in text

    def test_by_the_command(self) -> None:
        done = livemef("fuse", "--print-config", "--gamma", "0.9", LIVEMEF_PREVIEW__PORT="9001")
        assert done.returncode == 0, done.stderr
        assert tomllib.loads(done.stdout)["fusion"]["gamma"] == 0.9
        assert tomllib.loads(done.stdout)["preview"]["port"] == 9001


class TestMistakes:
    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("[fusion]\ngama = 1\n", ["line 2", "fusion.gama", "fusion.gamma"]),
            ("# first\n\n[captur]\ncamera = 'sim://'\n", ["line 4", "captur.camera", "capture.camera"]),
            ("camera = 'sim://'\n", ["line 1", "capture.camera"]),
            ("[fusion.gamma]\nvalue = 1\n", ["fusion.gamma.value", "fusion.gamma"]),
            ("fusion = 3\n", ["line 1", "fusion"]),
            ("[preview]\nport = 99999\n", ["line 2", "preview.port", "99999"]),
            ("[preview]\nport = 'many'\n", ["line 2", "preview.port", "many"]),
            ("[publish]\ncodec = 'gif'\n", ["line 2", "publish.codec", "'raw'"]),
            ("[fusion]\nchroma = 'select'\ngamma = 9.0\n", ["line 3", "gamma"]),
            ("[supervision]\nfirst_wait_s = 1.0\nbeat_limit_s = -1\n", ["line 3", "beat_limit_s"]),
            ("[fusion\ngamma = 1\n", ["not valid TOML", "line 1"]),
            ("[fusion]\ngamma = 1\ngamma = 2\n", ["not valid TOML", "line 3"]),
        ],
    )
    def test_in_the_file(self, tmp_path: Path, text: str, words: list[str]) -> None:
        path = tmp_path / "c.toml"
        path.write_text(text)
        message = complaint(path)
        for word in [str(path), *words]:
            assert word in message
        assert "\n" not in message

    @pytest.mark.parametrize(
        ("name", "value", "word"),
        [
            ("LIVEMEF_FUSION__GAMA", "1", "LIVEMEF_FUSION__GAMMA"),
            ("LIVEMEF_FUSION_GAMMA", "1", "LIVEMEF_FUSION__GAMMA"),
            ("LIVEMEF_CAMERA", "sim://", "LIVEMEF_CAPTURE__CAMERA"),
            ("LIVEMEF_PREVIEW__PORT", "http", "preview.port"),
            ("LIVEMEF_PREVIEW__ENABLED", "perhaps", "preview.enabled"),
            ("LIVEMEF_RUNTIME__DEVICE", "tpu", "'cuda'"),
        ],
    )
    def test_in_a_variable(self, name: str, value: str, word: str) -> None:
        message = complaint(**{name: value})
        assert name in message
        assert word in message

    def test_in_a_flag(self) -> None:
        assert complaint(flags={"fusion.chroma": "both"}) == "--chroma both: must be 'select' or 'weighted'"
        assert complaint(flags={"publish.codec": "gif"}) == "--codec gif: must be 'raw', 'jpeg' or 'png'"
        for key, value in (("stills.motion", "all"), ("fusion.gamma", "9"), ("stills.network_lines", "few")):
            words = complaint(flags={key: value})
            assert words.startswith(flag_name(key))
            assert "stills" not in words
            assert "fusion." not in words

    def test_a_camera_that_nobody_named(self) -> None:
        assert named_camera(loaded(flags={"capture.camera": "sim://"})) == "sim://"
        assert named_camera(loaded(LIVEMEF_CAPTURE__CAMERA="csi://0")) == "csi://0"
        with pytest.raises(UserError, match="--camera URI"):
            named_camera(loaded())

    def test_file_that_is_none(self, tmp_path: Path) -> None:
        assert "No such file" in complaint(tmp_path / "none.toml")
        assert "directory" in complaint(tmp_path)
        (tmp_path / "x.toml").write_bytes(b"\xff\xfe\x00")
        assert "UTF-8" in complaint(tmp_path / "x.toml")

    def test_by_the_command(self, tmp_path: Path) -> None:
        path = tmp_path / "c.toml"
        path.write_text("[fusion]\ngama = 1\n")
        assert_one_line(livemef("fuse", "--print-config", "--config", path), "line 2", "fusion.gamma")
        assert_one_line(livemef("fuse", "--print-config", LIVEMEF_FUSION__GAMA="1"), "LIVEMEF_FUSION__GAMMA")


@settings(deadline=None)
@given(st.sampled_from(known_keys()), st.data())
def test_nearest_finds_the_key_behind_a_slip(key: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(key) - 1))
    misspelt = key[:place] + key[place + 1 :]
    assert nearest(misspelt, known_keys()) == key


def test_variables_of_all_keys_differ() -> None:
    assert len({variable_name(key) for key in known_keys()}) == len(known_keys())


def test_configuration_travels_to_other_processes() -> None:
    config = loaded(LIVEMEF_FUSION__GAMMA="0.8").config
    assert pickle.loads(pickle.dumps(config)) == config
