import os
import subprocess
import sys
from pathlib import Path

import pytest

from livemef.fusion.stream import local_runs as module
from livemef.tools.run.runtime_folder import runtime_folder

ROOT = Path(__file__).parents[3]
HOLDER = """
import sys, time
from pathlib import Path
from livemef.tools.run.runtime_folder import runtime_folder
with runtime_folder(Path(sys.argv[1])) as folder:
    print(folder, flush=True)
    time.sleep(60)
"""


def test_it_is_for_this_user_alone_and_gone_at_the_end(tmp_path: Path) -> None:
    with runtime_folder(tmp_path) as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "preview").touch()
    assert list(tmp_path.iterdir()) == []


def test_folders_of_the_living_stay_and_those_of_the_dead_go(tmp_path: Path) -> None:
    script = (
        "import os, sys, time\nfrom pathlib import Path\nfrom livemef.tools.run.runtime_folder import runtime_folder\n"
    )
    script += "with runtime_folder(Path(sys.argv[1])) as folder:\n    print(folder, flush=True)\n    time.sleep(60)\n"
    killed = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert killed.stdout is not None
    left = Path(killed.stdout.readline().strip())
    with runtime_folder(tmp_path) as mine:
        assert left.exists()
        killed.kill()
        killed.communicate()
        with runtime_folder(tmp_path):
            assert not left.exists()
            assert mine.exists()
    (tmp_path / "livemef-run-of-somebody").mkdir()  # no lock yet: one that is just being made
    with runtime_folder(tmp_path):
        assert (tmp_path / "livemef-run-of-somebody").exists()


@pytest.mark.parametrize("mode", [0o700, 0o755])
def test_the_session_folder_is_used_where_it_is_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    told = tmp_path / "r"
    told.mkdir(mode=0o700)
    told.chmod(mode)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(told))
    monkeypatch.setattr(module.tempfile, "gettempdir", lambda: str(tmp_path))
    if len(str(told)) < 60:
        assert module.base_folder() == (told if mode == 0o700 else tmp_path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/no/such")
    assert module.base_folder() == tmp_path
