"""Importing from another camera, delivering and exporting."""

import hashlib
import json
from pathlib import Path

import bagit
import pytest
from PIL import Image

from livemef.calibration.profile import CameraIdentity, new_profile, save_profile
from livemef.tools.cli import main
from tests.tools.field.session_rig import make_project


def test_imported_files_are_sources_byte_for_byte(project: Path, pictures: list[Path]) -> None:
    (bag,) = project.glob("*-import/objects/KR-9")
    assert bagit.Bag(str(bag)).is_valid()
    for picture in pictures:
        assert (bag / "data" / "source" / picture.name).read_bytes() == picture.read_bytes()
    sidecar = json.loads((bag / "data" / "KR-9.json").read_text())
    assert sidecar["source_kind"] == "imported"
    assert sidecar["exposures"] == ["1 ms", "8 ms"]
    assert (bag / "data" / sidecar["files"]["master"]).is_file()
    digest = hashlib.sha256(pictures[0].read_bytes()).hexdigest().encode()
    assert digest in (bag / "data" / sidecar["files"]["master"]).read_bytes()  # among the XMP's ingredients


def test_the_sidecar_has_the_sum_of_the_profile_that_was_applied(
    tmp_path: Path, project: Path, pictures: list[Path]
) -> None:
    (bag,) = project.glob("*-import/objects/KR-9")
    assert json.loads((bag / "data" / "KR-9.json").read_text())["profile_sha256"] == ""
    profile = tmp_path / "camera.toml"
    identity = CameraIdentity(model="m", serial="", width=80, height=60, dtype="uint8")
    save_profile(profile, new_profile(identity))
    other = make_project(tmp_path / "other", profile=str(profile))
    assert main(["shoot", "import", str(other), "KR-9", *map(str, pictures)]) == 0
    (bag,) = other.glob("*-import/objects/KR-9")
    sidecar = json.loads((bag / "data" / "KR-9.json").read_text())
    assert sidecar["profile"] == str(profile)
    assert sidecar["profile_sha256"] == hashlib.sha256(profile.read_bytes()).hexdigest()


def test_deliver_and_export(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "deposit"
    assert main(["shoot", "deliver", str(project), "-o", str(out)]) == 0
    assert f"{out / 'museum'}: 1 bag; 0 delivered before, 0 faults" in capsys.readouterr().out
    assert bagit.Bag(str(out / "museum")).is_valid()
    (bag,) = out.glob("museum/data/*/objects/KR-9")
    assert bagit.Bag(str(bag)).is_valid()
    for expected in ("1 picture, 0 there before", "0 pictures, 1 there before"):
        assert main(["shoot", "export", str(project), "-o", str(tmp_path / "web")]) == 0
        assert expected in capsys.readouterr().out
    with Image.open(tmp_path / "web" / "KR-9.jpg") as picture:
        assert picture.size == (80, 60)
    tiles = ["shoot", "export", str(project), "-o", str(tmp_path / "tiles"), "--iiif", "https://example.org/t/"]
    assert main(tiles) == 0
    assert main(tiles) == 0
    assert "0 pictures, 1 there before" in capsys.readouterr().out
    info = json.loads((tmp_path / "tiles" / "KR-9" / "info.json").read_text())
    assert (info["id"], info["width"]) == ("https://example.org/t/KR-9", 80)
    with Image.open(tmp_path / "tiles" / "KR-9" / "full" / "max" / "0" / "default.jpg") as picture:
        assert picture.size == (80, 60)


def test_what_cannot_be_imported(project: Path, pictures: list[Path], tmp_path: Path, capsys) -> None:
    plain = tmp_path / "plain.png"
    Image.new("RGB", (80, 60), 99).save(plain)
    other = tmp_path / "other.png"
    Image.new("RGB", (80, 60), 9).save(other)
    for files, says in (
        ([plain, other], "EXIF"),
        ([pictures[0], tmp_path / "no.webp"], "no.webp"),
        ([pictures[0], pictures[0]], "have this name"),
    ):
        assert main(["shoot", "import", str(project), "KR-10", *map(str, files)]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1
        assert says in lines[0]
    assert not list(project.glob("*/objects/KR-10"))
