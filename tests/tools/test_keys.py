"""`livemef keys` on the command line."""

from pathlib import Path

import pytest

from livemef.tools.cli import main
from tests.tools.command import assert_one_line, livemef


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path / "livemef" / "keys"


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["keys", *arguments]) == 0
    return capsys.readouterr().out


def test_from_new_to_allowed(capsys: pytest.CaptureFixture[str]) -> None:
    key = printed(capsys, "new", "--name", "camera").splitlines()[-1]
    assert printed(capsys, "show").strip() == key
    printed(capsys, "allow", key)
    assert printed(capsys, "list").split()[0] == "camera"
    assert f"livemef keys trust cam.local '{key}'" in printed(capsys, "invite", "--host", "cam.local")
    printed(capsys, "trust", "cam.local:5556", key)
    printed(capsys, "forbid", "camera")
    assert printed(capsys, "list") == ""


def test_mistakes_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, says in (
        (["show"], "keys new"),
        (["allow", "nonsense"], "is no key"),
        (["trust", "a b", "nonsense"], "is no key"),
        (["forbid", "nobody"], "no key of this name"),
    ):
        assert main(["keys", *arguments]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1
        assert says in lines[0]


def test_run_refuses_to_be_open_to_all(tmp_path: Path) -> None:
    done = livemef(
        "run", "--publish", "pub+bind:tcp://0.0.0.0:0", "--no-preview", "--frames", "1", XDG_CONFIG_HOME=str(tmp_path)
    )
    assert_one_line(done, "livemef keys new", "--insecure", "127.0.0.1")
    done = livemef(
        *("run", "--publish", "pub+bind:tcp://0.0.0.0:0", "--no-preview", "--frames", "1", "--insecure"),
        *("--camera", "sim://?size=320x240"),
        XDG_CONFIG_HOME=str(tmp_path),
    )
    assert done.returncode == 0, done.stderr
