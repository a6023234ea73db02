"""Ids from codes in the picture, drawn by encoders that are not ours, and what a session makes of them."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from livemef.capture.files.radiance import write_radiance
from livemef.tools.cli import main
from livemef.tools.exits import UserError
from livemef.tools.field.codes import Code, contradiction, id_of, ids_in, read_codes
from tests.tools.field.session_rig import Session, make_project
from tests.tools.field.test_sidecar import agrees

PATTERN = "KR-[0-9]+"


def qr(text: str, module: int = 5) -> np.ndarray:
    """A QR code, grey, 0 and 255."""
    segno = pytest.importorskip("segno", reason="segno is not installed")
    matrix = np.array([list(row) for row in segno.make(text, error="m", micro=False).matrix], np.uint8)
    return np.kron(255 * (1 - np.pad(matrix, 4)), np.ones((module, module), np.uint8))


def code_128(text: str) -> np.ndarray:
    barcode = pytest.importorskip("barcode", reason="python-barcode is not installed")
    from barcode.writer import ImageWriter

    return np.asarray(barcode.Code128(text, writer=ImageWriter()).render({"quiet_zone": 4}).convert("L"))


def scene(code: np.ndarray, angle: float, size: tuple[int, int] = (900, 700)) -> np.ndarray:
    """The code on a grey table, turned, of half contrast, with noise; BGR, 8 bits."""
    height, width = code.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
    turn[:, 2] += np.array([size[0] - width, size[1] - height]) / 2
    table = cv2.warpAffine(code, turn, size, borderValue=160, borderMode=cv2.BORDER_CONSTANT)
    noisy = 60 + 0.5 * cv2.GaussianBlur(table, (0, 0), 0.8) + np.random.default_rng(1).normal(0, 4, table.shape)
    return cv2.merge([np.clip(noisy, 0, 255).astype(np.uint8)] * 3)


@pytest.mark.parametrize("angle", [0, 7, 90])
def test_codes_are_read_in_any_exposure(angle: float) -> None:
    pytest.importorskip("zxingcpp", reason="zxing-cpp is not installed")
    for code, name in ((qr("KR-2026"), "QR"), (code_128("KR-2026"), "128")):
        picture = scene(code, angle)
        black = np.zeros_like(picture)
        (found,) = read_codes([black, picture, picture.astype(np.uint16) * 257])
        assert found.text == "KR-2026"
        assert name in found.format.replace(" ", "")
    assert read_codes([np.full((200, 300, 3), 90, np.uint8)]) == ()


def test_which_id_codes_give() -> None:
    other, one, two = (Code("QR Code", text) for text in ("https://example.org", " KR-1 ", "KR-2"))
    assert ids_in((other, one, one, two), PATTERN) == ("KR-1", "KR-2")
    assert id_of((other, one), PATTERN) == "KR-1"
    for codes, says in (((), "no code"), ((other,), "does not match"), ((one, two), "KR-1, KR-2")):
        with pytest.raises(UserError, match=says):
            id_of(codes, PATTERN)
    assert contradiction("KR-1", (other, one), PATTERN) == ""
    assert contradiction("KR-1", (other,), PATTERN) == ""
    assert "says KR-2, not KR-1" in contradiction("KR-1", (two,), PATTERN)


@pytest.mark.full
def test_a_session_takes_by_the_code_and_doubts_another_id(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("zxingcpp", reason="zxing-cpp is not installed")
    seen = scene(qr("KR-7", 4), 5, (960, 540)).astype(np.float32) / 255
    write_radiance(tmp_path / "object.hdr", seen**2, "a code")
    camera = f"sim://{tmp_path}/object.hdr?motion=0&size=640x360"
    project = make_project(tmp_path / "museum", camera, pattern=PATTERN, before_first=False, corners=[])
    session = Session(project, "--codes")
    try:
        assert session.state()["codes"] is True
        assert main(["shoot", "take", "--code", "--project", str(project)]) == 0, capsys.readouterr().err
        assert "KR-7: stored in" in capsys.readouterr().out
        sidecar = json.loads((session.folder / "objects" / "KR-7" / "data" / "KR-7.json").read_text())
        assert [code["text"] for code in sidecar["codes"]] == ["KR-7"]
        agrees(session.folder / "objects" / "KR-7")
        assert main(["shoot", "take", "--code", "--project", str(project)]) == 2
        assert "retake" in capsys.readouterr().err
        assert main(["shoot", "take", "KR-8", "--project", str(project)]) == 2
        assert "says KR-7, not KR-8" in capsys.readouterr().err
        assert main(["shoot", "take", "KR-8", "--project", str(project)]) == 0  # the person insists
        assert sorted(path.name for path in (session.folder / "objects").iterdir()) == ["KR-7", "KR-8"]
    finally:
        session.close()
