"""`livemef doctor`: true findings, in spite of probes that crash, hang or print; exit code by what is needed."""

import importlib.metadata
import json
import os
from pathlib import Path
from unittest.mock import patch

import pytest

from livemef.tools.doctor import command, machine
from livemef.tools.doctor.finding import Finding, package
from livemef.tools.doctor.probes import PROBES
from tests.engine.test_cuda_device import FAILS, driver
from tests.tools.command import livemef


@pytest.fixture(scope="module")
def report() -> tuple[int, dict[str, object]]:
    done = livemef("doctor", "--json")
    assert len(done.stdout.splitlines()) == 1, done.stderr
    return done.returncode, json.loads(done.stdout)


def finding(report: tuple[int, dict[str, object]], name: str) -> dict[str, object]:
    findings = report[1]["findings"]
    assert isinstance(findings, list)
    return next(found for found in findings if found["name"] == name)


class TestThisMachine:
    def test_exit_code_follows_what_is_needed(self, report: tuple[int, dict[str, object]]) -> None:
        code, told = report
        findings = told["findings"]
        assert isinstance(findings, list)
        harmful = [found for found in findings if found["needed"] and found["state"] != "ok"]
        assert told["ok"] == (not harmful)
        assert code == (2 if harmful else 0)

    def test_all_areas_are_looked_at(self, report: tuple[int, dict[str, object]]) -> None:
        findings = report[1]["findings"]
        assert isinstance(findings, list)
        assert {found["area"] for found in findings} == set(command.AREAS)

    def test_what_is_not_well_has_a_remedy(self, report: tuple[int, dict[str, object]]) -> None:
        findings = report[1]["findings"]
        assert isinstance(findings, list)
        assert [found["name"] for found in findings if found["state"] != "ok" and not found["remedy"]] == []

    def test_versions_are_those_installed(self, report: tuple[int, dict[str, object]]) -> None:
        assert finding(report, "onnxruntime")["detail"] == importlib.metadata.version("onnxruntime")
        assert importlib.metadata.version("pyzmq") in str(finding(report, "ZeroMQ")["detail"])

    @pytest.mark.parametrize("name", ["simulated", "cbm.onnx", "tcp", "ipc", "memfd"])
    def test_what_is_needed_works_here(self, report: tuple[int, dict[str, object]], name: str) -> None:
        assert finding(report, name)["state"] == "ok"

    def test_gpu_as_the_driver_says(self, report: tuple[int, dict[str, object]]) -> None:
        devices = [name for name in os.listdir("/dev") if name.startswith("nvidia") and name[6:].isdigit()]
        assert (finding(report, "CUDA")["state"] == "ok") == bool(devices)

    def test_a_driver_that_fails_is_named_with_a_remedy(self, tmp_path: Path) -> None:
        with patch.dict(os.environ, {"LD_LIBRARY_PATH": driver(tmp_path, FAILS)}):
            (found,) = command.run_probe("gpu")
        assert (found.state, found.detail) == ("broken", "the NVIDIA driver does not work (cuInit: unknown error)")
        assert found.remedy.startswith("nvidia-smi should list the GPU")


class TestProbes:
    """The real process is run; only what the probe does in it is exchanged."""

    def run(self, tmp_path: Path, body: str, limit_s: float = 30.0) -> list[Finding]:
        (tmp_path / "sitecustomize.py").write_text(
            "import sys\n"
            "if 'zeromq' in sys.argv or sys.argv == ['-m']:\n"
            "    import os, time, signal\n"
            "    sys.orig_argv\n" + "".join(f"    {line}\n" for line in body.splitlines())
        )
        with patch.dict(os.environ, {"PYTHONPATH": str(tmp_path)}):
            return command.run_probe("zeromq", limit_s)

    def test_crash(self, tmp_path: Path) -> None:
        (found,) = self.run(tmp_path, "os.kill(os.getpid(), signal.SIGSEGV)")
        assert (found.state, found.needed) == ("broken", True)
        assert "SIGSEGV" in found.detail

    def test_hang(self, tmp_path: Path) -> None:
        (found,) = self.run(tmp_path, "time.sleep(60)", limit_s=1.0)
        assert found.state == "broken"
        assert "1 s" in found.detail

    def test_failure(self, tmp_path: Path) -> None:
        (found,) = self.run(tmp_path, "sys.stderr.write('the driver is asleep\\n'); os._exit(3)")
        assert found.detail == "the driver is asleep"

    def test_chatter_does_not_spoil_the_answer(self, tmp_path: Path) -> None:
        found = self.run(tmp_path, "import atexit; atexit.register(lambda: os.write(2, b'bye'))")
        assert [one.state for one in found] == ["ok", "ok", "ok"]

    def test_every_probe_has_an_area(self) -> None:
        assert set(command.AREA_OF_PROBE) == set(PROBES)
        assert set(command.AREA_OF_PROBE.values()) <= set(command.AREAS)
        assert set(command.NEEDED_PROBES) <= set(PROBES)


class TestMachineChecks:
    def devices(self, tmp_path: Path, mode: int | None) -> list[Finding]:
        (tmp_path / "class" / "video0").mkdir(parents=True)
        (tmp_path / "class" / "video0" / "name").write_text("Good Camera: front\n")
        (tmp_path / "dev").mkdir()
        if mode is not None:
            (tmp_path / "dev" / "video0").touch(mode)
        return machine.v4l2_devices(tmp_path / "class", tmp_path / "dev")

    def test_camera_that_may_be_opened(self, tmp_path: Path) -> None:
        (found,) = self.devices(tmp_path, 0o600)
        assert (found.state, found.detail) == ("ok", "Good Camera: front")

    def test_camera_that_may_not_be_opened(self, tmp_path: Path) -> None:
        (found,) = self.devices(tmp_path, None)
        assert found.state == "broken"
        assert "video" in found.remedy

    def test_no_camera(self, tmp_path: Path) -> None:
        (found,) = machine.v4l2_devices(tmp_path / "none", tmp_path)
        assert (found.state, found.harmful) == ("missing", False)

    def test_packages(self) -> None:
        here = package("Preview", "numpy", "numpy", "numbers", "pip install numpy")
        assert (here.state, here.detail) == ("ok", f"{importlib.metadata.version('numpy')}: numbers")
        gone = package("Preview", "no_such_package", "no-such-package", "nothing", "pip install it", needed=True)
        assert (gone.state, gone.harmful) == ("missing", True)

    def test_no_shared_memory_folder(self, tmp_path: Path) -> None:
        (found,) = machine.dev_shm(tmp_path / "none")
        assert (found.state, found.harmful) == ("missing", False)


def test_harm_alone_decides(capsys: pytest.CaptureFixture[str]) -> None:
    optional = Finding("GPU", "CUDA", "missing", "no driver", "install it")
    needed = Finding("System", "memfd", "broken", "refused", "another kernel", needed=True)
    for findings, code, word in (([optional], 0, "Fit to run"), ([optional, needed], 2, "Not fit to run")):
        with patch.object(command, "examine", return_value=findings):
            assert command.doctor_command() == code
        assert word in capsys.readouterr().out
