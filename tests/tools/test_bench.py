import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from livemef.fusion.cpu.fuser import CpuFuser
from livemef.fusion.settings import FusionSettings
from livemef.tools.bench.command import render, report
from livemef.tools.bench.idle import cpu_times
from livemef.tools.bench.machine import instruction_sets, processor
from livemef.tools.bench.scene import MOVE, PanningStream, parse_size
from livemef.tools.bench.timing import bench, copy_bandwidth
from livemef.tools.exits import UserError
from tests.fusion.brackets import Curve
from tests.fusion.stream.test_publisher import until
from tests.tools.command import assert_one_line, livemef, mean_network

still = partial(FusionSettings, motion="off")


@pytest.mark.parametrize("text", ["", "1920", "1920x", "0x1080", "5x7", "99999x1080", "1920x1080x3", "-4x9"])
def test_a_size_that_is_none_is_refused(text):
    with pytest.raises(UserError, match="size"):
        parse_size(text)


def test_a_size_is_width_and_height():
    assert parse_size("1920X1080") == (1920, 1080)


def test_the_bracket_holds_more_than_either_picture():
    (under, over), _ = PanningStream(320, 180, 2).next()
    assert under.shape == over.shape == (180, 320, 3)
    assert (over == 255).mean() > 0.1
    assert (under < 24).mean() > 0.1
    assert (under == 255).mean() < (over == 255).mean() / 2


def test_the_result_is_consistent():
    fuser = CpuFuser(Curve(), still(network_lines=32), 2)
    result = bench((160, 96), 3, fuser, 2)
    assert result.speedup_over_mertens == pytest.approx(result.mertens.median / result.fuse.median)
    assert result.fuse.shortest <= result.fuse.quartiles[0] <= result.fuse.median <= result.fuse.quartiles[1]
    assert result.one_thread_speedup is None
    assert set(result.stages_ms) == {"shrink", "network", "affine", "pixels"}
    assert max(result.stages_ms.values()) < 2 * result.fuse.median
    assert result.floor_ms == pytest.approx(1e3 * 4 * 160 * 96 * 3 / (1e9 * result.memory_gb_s))
    assert result.peak_rss_mb > 10
    assert render(result).row_count == 7


def test_one_thread_is_measured_beside():
    fuser, single = (CpuFuser(Curve(), still(network_lines=32), threads) for threads in (2, 1))
    threads = cv2.getNumThreads()
    result = bench((160, 96), 2, fuser, 2, single, exposures=3)
    assert result.one_thread_speedup == pytest.approx(result.mertens_one_thread.median / result.one_thread.median)
    assert cv2.getNumThreads() == threads
    assert result.exposures == 3
    assert render(result).row_count == 9
    assert "| 160x96 | 2 |" in report([result])


def test_the_stream_pans_and_has_one_new_frame_a_bracket():
    stream = PanningStream(96, 64, 2)
    (_, before), first = stream.next()
    (dark, bright), second = stream.next()
    assert bright is not before or dark is not before
    assert sorted(second.place.frames)[0] == sorted(first.place.frames)[1]
    assert max(second.place.frames) == max(first.place.frames) + 1
    clean = PanningStream(96, 64, 2)._scenes[0][0]
    right, down = MOVE
    assert dark.shape == bright.shape == (64, 96, 3)
    assert clean.shape == (64 + 6 * down, 96 + 6 * right, 3)


def test_the_processor_is_named(tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor : 0\nmodel name\t: Some CPU\nflags\t\t: fpu avx2 avx512f\n")
    assert processor(cpuinfo, tmp_path / "none") == "Some CPU"
    assert instruction_sets(cpuinfo) == ["avx512f", "avx2"]
    board = tmp_path / "model"
    board.write_text("Raspberry Pi 5 Model B Rev 1.0\0")
    assert processor(cpuinfo, board) == "Raspberry Pi 5 Model B Rev 1.0"
    cpuinfo.write_text("processor : 0\nFeatures : fp asimd asimddp\n")
    assert instruction_sets(cpuinfo) == ["asimddp", "asimd"]


def test_what_motion_costs_is_measured_beside():
    fuser = CpuFuser(Curve(), FusionSettings(network_lines=32, motion="full"), 2)
    result = bench((160, 96), 2, fuser, 2)
    assert "motion" in result.stages_ms
    assert result.motion_cost == pytest.approx(result.fuse.median / result.still.median - 1)
    assert fuser.settings.motion == "full"
    assert "motion costs" in str(render(result).caption)


def test_copying_is_measured_in_plausible_bytes():
    assert 1e8 < copy_bandwidth(1) < 1e13


def test_the_command_gives_the_documented_keys(tmp_path):
    model = mean_network(tmp_path / "mean.onnx")
    done = livemef("bench", "--size", "64x48", "--repeats", 2, "--model", model, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["size"] == [64, 48]
    for key in ("fuse_ms", "mertens_ms", "speedup_over_mertens", "peak_rss_mb"):
        assert found[key] > 0
    assert all(np.isfinite(spent) for spent in found["stages_ms"].values())


def test_report_and_json_exclude_each_other():
    assert_one_line(livemef("bench", "--report", "--json"), "--report", "--json")


@pytest.mark.full
def test_latency_is_measured_through_real_processes(tmp_path):
    model = mean_network(tmp_path / "mean.onnx")
    flags = ["--size", "64x48", "--fps", 60, "--seconds", 1, "--model", model, "--json"]
    done = livemef("bench", "--latency", *flags)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["frames"] > 5
    assert set(found["after_readout_by_exposure_ms"]) == {"0", "1"}
    assert 0 < found["after_readout_ms"]["median"] < found["latency_ms"]["median"]
    stages = found["stages_ms"]
    assert stages["readout"] >= 0.6e3 / 60  # the simulated sensor's
    assert min(stages["wait"], stages["send"]) > 0


@pytest.mark.full
def test_a_killed_bench_leaves_no_process(tmp_path):
    model = mean_network(tmp_path / "mean.onnx")
    flags = ["--size", "64x48", "--seconds", "600", "--model", str(model)]
    bench_run = subprocess.Popen([sys.executable, "-m", "livemef", "bench", "--latency", *flags])
    family = {}
    try:
        until(
            lambda: {"livemef-capture", "livemef-fusion"} <= {name for name, _ in cpu_times(bench_run.pid).values()}, 60
        )
        family = cpu_times(bench_run.pid)
    finally:
        bench_run.kill()
        bench_run.wait()
    try:
        until(lambda: not any(runs(pid) for pid in family), 60)
    finally:
        for pid in family:
            if runs(pid):
                os.kill(pid, signal.SIGKILL)


def runs(pid):
    """Whether there is such a process, and it has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.full
def test_idle_is_measured_through_real_processes(tmp_path):
    model = mean_network(tmp_path / "mean.onnx")
    done = livemef("bench", "--idle", "--size", "64x48", "--fps", 5, "--seconds", 1, "--model", model, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["size"], found["camera_fps"]) == ([64, 48], 5)
    shares = found["percent_by_process"]
    assert {"livemef-capture", "livemef-fusion"} < set(shares)
    assert min(shares.values()) > 0
    assert found["percent"] == pytest.approx(sum(shares.values()), abs=0.01)


def test_cpu_time_is_that_of_the_whole_family():
    code = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ntime.sleep(60)"
    nested = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {code!r}])"
    parent = subprocess.Popen([sys.executable, "-c", nested], stdout=subprocess.PIPE)
    try:
        parent.stdout.readline()
        found = cpu_times(parent.pid)
        assert len(found) == 2
        assert sum(spent for _, spent in found.values()) > 0.3
    finally:
        for pid in cpu_times(parent.pid):
            os.kill(pid, signal.SIGKILL)
        parent.communicate()


def test_idle_and_latency_exclude_each_other():
    assert_one_line(livemef("bench", "--idle", "--latency"), "--idle", "--latency")


def test_latency_of_a_pipeline_that_fails_is_one_line(tmp_path):
    assert_one_line(livemef("bench", "--latency", "--model", tmp_path / "none.onnx"), "none.onnx")


def test_a_wrong_size_is_one_line():
    assert_one_line(livemef("bench", "--size", "big"), "--size", "1920x1080")


def test_a_lesser_kind_of_processor_can_be_chosen_for_comparison(tmp_path):
    model = mean_network(tmp_path / "mean.onnx")
    arguments = ["bench", "--size", "64x48", "--repeats", 1, "--model", model, "--json"]
    done = livemef(*arguments, LIVEMEF_CPU="any")
    assert done.returncode == 0, done.stderr
    assert_one_line(livemef(*arguments, LIVEMEF_CPU="sse9"), "LIVEMEF_CPU=sse9", "any, avx2, avx512")
