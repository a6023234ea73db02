"""What only a GPU can tell: `make test-gpu`. Nothing of it runs in `make test`."""

import shutil
import subprocess
import sys
from functools import partial

import cv2
import numpy as np
import pytest

from livemef.engine.net_on_host import NetOnHost
from livemef.engine.open_net import open_cuda_net, open_net
from livemef.fusion.cpu.fuser import CpuFuser
from livemef.fusion.cuda.fuser import CudaFuser
from livemef.fusion.method import reference
from livemef.fusion.metrics.mef_ssim import mef_ssim
from livemef.fusion.settings import FusionSettings
from tests.fusion.brackets import Curve, noise, scene
from tests.fusion.metrics.test_metrics import DATA

still = partial(FusionSettings, motion="off")

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(1800)]


def pairs():
    """Two exposures of every scene of the development set, dark to bright."""
    folders = sorted(path for path in (DATA / "dev").glob("*") if path.is_dir())
    for folder in folders:
        pictures = [cv2.imread(str(path)) for path in sorted(folder.iterdir())]
        found = [picture for picture in pictures if picture is not None]
        if len(found) >= 2:
            ordered = sorted(found, key=lambda picture: picture.mean())
            yield folder.name, [ordered[0], ordered[-1]]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("lines", [0, 48])
@pytest.mark.parametrize("gamma", [0.85, "adaptive"])
@pytest.mark.parametrize("colour", ["tone", "chromaticity", "lab"])
@pytest.mark.parametrize("make", [scene, noise])
@pytest.mark.parametrize("shape", [(1, 1), (101, 275), (720, 1280)])
def test_kernels_are_within_a_code_of_the_definition(shape, make, dtype, lines, gamma, colour):
    settings = still(network_lines=lines, gamma=gamma, colour=colour)
    pair = make(*shape, dtype)
    found = CudaFuser(NetOnHost(Curve()), settings).fuse(pair).pixels.astype(int)
    difference = np.abs(found - reference.fuse(pair, Curve(), settings))
    assert (difference <= 1).mean() >= 0.9999


@pytest.mark.parametrize("lines", [0, 90])
def test_the_whole_path_is_near_the_cpu_s(lines):
    settings = still(network_lines=lines)
    if not list(pairs()):
        pytest.skip("no development pictures: set LIVEMEF_DATA")
    on_gpu, on_cpu = CudaFuser(open_cuda_net("cbm", print), settings), CpuFuser(open_net("cbm", "cpu"), settings)
    within, scores = [], []
    for name, pair in pairs():
        found, wanted = on_gpu.fuse(pair).pixels, on_cpu.fuse(pair).pixels
        within.append((np.abs(found.astype(int) - wanted) <= 2).mean())
        scores.append((mef_ssim(pair, found), mef_ssim(pair, wanted)))
        print(f"{name}: {within[-1]:.4%} within 2 codes, MEF-SSIM {scores[-1][0]:.4f} and {scores[-1][1]:.4f}")
    assert min(within) >= 0.99
    gpu_score, cpu_score = np.mean(scores, axis=0)
    assert abs(gpu_score - cpu_score) <= 0.001


def test_the_sanitizer_finds_nothing():
    sanitizer = shutil.which("compute-sanitizer", path="/usr/local/cuda/bin") or shutil.which("compute-sanitizer")
    if sanitizer is None:
        pytest.skip("no compute-sanitizer")
    command = [sanitizer, "--error-exitcode", "9", sys.executable, "-m", "tests.gpu.fuse_once"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if "not supported" in done.stdout:
        pytest.skip("compute-sanitizer does not run on this GPU")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
