"""A driver for CUDA that is there but broken: libraries made by gcc in its place, each in a process of its own."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tools.command import ROOT, assert_one_line, livemef

pytestmark = pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc")
SMALL = ("run", "--camera", "sim://?size=160x120", "--no-preview", "--frames", "5")
NEVER = "#include <unistd.h>\nint cuInit(unsigned flags) { for (;;) sleep(1000); }"
FAILS = "int cuInit(unsigned flags) { return 999; }"
OF_AN_OTHER_KIND = "int something(void) { return 0; }"
WITHOUT_GPU = FAILS.replace("999", "0") + "\nint cuDeviceGetCount(int *count) { *count = 0; return 0; }"
FAILS_LATER = (
    WITHOUT_GPU.replace("= 0", "= 1") + "\nint cuDeviceGet(int *device, int index) { return 803; }"
)  # the kernel's module was replaced meanwhile
ASK = "import sys; from livemef.engine.cuda_device import first_device; first_device(float(sys.argv[1]))"


def driver(folder: Path, source: str) -> str:
    """A folder with that as libcuda.so.1."""
    (folder / "driver.c").write_text(source)
    command = [
        "gcc",
        "-shared",
        "-fPIC",
        "-Wl,-soname,libcuda.so.1",
        "-o",
        folder / "libcuda.so.1",
        folder / "driver.c",
    ]
    subprocess.run(list(map(str, command)), check=True, timeout=60)
    return str(folder)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (NEVER, "the NVIDIA driver does not answer within 1 s"),
        (FAILS, "the NVIDIA driver does not work (cuInit: unknown error)"),
        (FAILS_LATER, "the NVIDIA driver does not work (cuDeviceGet: driver and library versions differ)"),
        (OF_AN_OTHER_KIND, "libcuda.so.1 has no cuInit"),
        (WITHOUT_GPU, "the NVIDIA driver sees no GPU"),
    ],
)
def test_a_broken_driver_is_an_error_that_says_what_to_do(source: str, says: str, tmp_path: Path) -> None:
    environment = {"LD_LIBRARY_PATH": driver(tmp_path, source), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", ASK, "1"], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=30
    )
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("livemef.engine.errors.EngineError"), done.stderr
    assert says in last


def test_a_library_that_does_not_load_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "libcuda.so.1").write_text("not a library")
    done = livemef(*SMALL, "--device", "cuda", LD_LIBRARY_PATH=str(tmp_path))
    assert_one_line(done, "no NVIDIA driver", "libcuda.so.1", "--device cpu")


def test_asked_for_by_name_a_broken_driver_is_one_line(tmp_path: Path) -> None:
    done = livemef(*SMALL, "--device", "cuda", LD_LIBRARY_PATH=driver(tmp_path, FAILS))
    assert_one_line(done, "driver does not work", "--device cpu")


@pytest.mark.slow
@pytest.mark.parametrize("source", [FAILS, NEVER])
def test_auto_goes_on_with_the_cpu_after_one_line(source: str, tmp_path: Path) -> None:
    endpoint = f"pub+bind:ipc://{tmp_path}/fused"
    done = livemef(*SMALL, "--device", "auto", "--publish", endpoint, LD_LIBRARY_PATH=driver(tmp_path, source))
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "driver" in line]
    assert "fusing on the CPU: the NVIDIA driver does not" in line
    assert "fusing on cpu" in done.stderr
    assert "starting it again" not in done.stderr


@pytest.mark.slow
def test_asked_for_by_name_a_driver_that_does_not_answer_is_one_line(tmp_path: Path) -> None:
    done = livemef(*SMALL, "--device", "cuda", LD_LIBRARY_PATH=driver(tmp_path, NEVER))
    assert_one_line(done, "does not answer within 20 s", "--device cpu")
