import os
import shlex
import subprocess
import sys
from pathlib import Path

from livemef.tools.remedies import as_typed_here, commands_in
from tests.tools.command import ROOT, livemef


def test_the_printed_command_installs_for_this_python_from_any_folder(tmp_path: Path) -> None:
    text = as_typed_here("no page: pip install 'livemef[web]', or run with --no-preview")
    command = shlex.split(text.removeprefix("no page: ").split(",")[0])
    assert command[-1] == "livemef[web]"
    done = subprocess.run([*command[:-1], "--help"], cwd=tmp_path, capture_output=True, text=True, env={"PATH": ""})
    assert (done.returncode, done.stderr) == (0, "")
    assert "pip install" in done.stdout


def test_commands_are_listed_once_each() -> None:
    texts = ["on a PC: pip install 'livemef[cuda]'", "", "pip install 'livemef[cuda]' (compiles)", "pip install x"]
    assert commands_in(texts) == [as_typed_here("pip install 'livemef[cuda]'")]


def test_what_is_no_remedy_of_ours_stays() -> None:
    for text in ("sudo apt install tensorrt", "pip install nvidia-cuda-nvcc", ""):
        assert as_typed_here(text) == text


def test_a_missing_extra_names_the_whole_command(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['torch'] = None")  # as if it were not there
    done = livemef("train", "nowhere", "-o", "nowhere", PYTHONPATH=os.pathsep.join([str(tmp_path), str(ROOT)]))
    assert f"{shlex.quote(sys.executable)} -m pip install 'livemef[train]'" in done.stderr
