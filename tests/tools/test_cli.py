"""The command line itself: verbs, exit codes, one line for every failure, quick help."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from livemef.capture.errors import CameraStalled, CaptureError
from livemef.engine.errors import EngineError
from livemef.fusion.errors import FusionError
from livemef.tools.cli import main
from livemef.tools.exits import UserError, explain, finish
from livemef.tools.verbs import VERBS, Verb
from tests.tools.command import ROOT, assert_one_line, livemef

HEAVY = ("cv2", "numpy", "onnxruntime", "torch", "zmq", "aiohttp", "pydantic_settings")


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for verb in VERBS:
        assert verb.name in text
    assert main([]) == 0
    assert capsys.readouterr().out == text


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, livemef.tools.cli; livemef.tools.cli.main(['--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert set(done.stderr.split()).isdisjoint(HEAVY)


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_every_verb_is_there_and_explains_itself(verb: Verb, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb.name, "--help"]) == 0
    assert f"livemef {verb.name}" in capsys.readouterr().out


def test_version() -> None:
    done = livemef("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("livemef 0.")


def test_misspelt_verb_and_option_name_the_nearest() -> None:
    assert_one_line(livemef("fus"), "fuse")
    assert_one_line(livemef("doctor", "--jsno"), "--json")


@pytest.mark.parametrize("error", [CaptureError, CameraStalled, EngineError, FusionError, UserError])
def test_expected_errors_are_one_line_and_two(error: type[Exception]) -> None:
    assert explain(error("the camera\nis  unplugged")) == (2, "the camera is unplugged")


def test_limits_of_the_system_are_no_bugs() -> None:
    full = OSError(errno.ENOSPC, "No space left on device", "/data/x.png")
    assert explain(full) == (2, "No space left on device: /data/x.png")
    assert explain(MemoryError())[0] == 2


def test_optional_package_that_is_not_installed(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['torch'] = None")  # as if it were not there
    done = livemef("train", "nowhere", "-o", "nowhere", PYTHONPATH=os.pathsep.join([str(tmp_path), str(ROOT)]))
    assert_one_line(done, "torch", "livemef[train]")
    assert explain(ModuleNotFoundError("No module named 'livemef.tools.oops'", name="livemef.tools.oops"))[0] == 1


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("x"), AssertionError(), RuntimeError("two\nlines")])
def test_everything_else_is_a_bug(error: Exception) -> None:
    code, line = explain(error)
    assert code == 1
    assert "--debug" in line
    assert "\n" not in line


def test_traceback_only_with_debug(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("something we did not think of")

    monkeypatch.setattr(Verb, "load", lambda self: broken)
    assert main(["doctor"]) == 1
    quiet = capsys.readouterr().err
    assert len(quiet.strip().splitlines()) == 1
    assert "RuntimeError" in quiet
    for arguments in (["--debug", "doctor"], ["doctor", "--debug"]):
        assert main(arguments) == 1
        assert "Traceback" in capsys.readouterr().err


def test_exit_code_of_a_verb_is_that_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for code in (0, 2):
        monkeypatch.setattr(Verb, "load", lambda self, code=code: lambda: code)
        assert main(["doctor"]) == code


def test_interruption() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    assert finish(interrupted, debug=False) == 130


def test_ctrl_c_in_a_verb_that_does_not_handle_it(tmp_path: Path) -> None:
    script = (
        "import sys, livemef.tools.verbs, livemef.tools.cli, time\nlivemef.tools.verbs.Verb.load = lambda self: body\n"
    )
    script += "def body():\n    print('there', flush=True)\n    time.sleep(30)\n"
    script += "sys.exit(livemef.tools.cli.main(['doctor']))\n"
    child = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "there\n"
    time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=20)
    assert child.returncode == 130
    assert errors == "livemef: interrupted\n"


def test_reader_that_has_gone_is_no_error() -> None:
    for arguments in (["--help"], ["doctor", "--help"], ["fuse", "--print-config"]):
        reading, writing = os.pipe()
        os.close(reading)
        command = [sys.executable, "-m", "livemef.tools.cli", *arguments]
        with os.fdopen(writing, "w") as gone:
            done = subprocess.run(command, cwd=ROOT, stdout=gone, stderr=subprocess.PIPE, text=True, timeout=60)
        assert done.returncode == 0
        assert done.stderr == ""
