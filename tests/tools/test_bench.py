import json
from functools import partial

import numpy as np
import pytest

from livemef.fusion.cpu.fuser import CpuFuser
from livemef.fusion.settings import FusionSettings
from livemef.tools.bench import bench, bench_bracket, copy_bandwidth, parse_size, render
from livemef.tools.exits import UserError
from tests.fusion.brackets import Curve
from tests.tools.command import assert_one_line, livemef, mean_network

still = partial(FusionSettings, motion="off")


@pytest.mark.parametrize("text", ["", "1920", "1920x", "0x1080", "5x7", "99999x1080", "1920x1080x3", "-4x9"])
def test_a_size_that_is_none_is_refused(text):
    with pytest.raises(UserError, match="size"):
        parse_size(text)


def test_a_size_is_width_and_height():
    assert parse_size("1920X1080") == (1920, 1080)


def test_the_bracket_holds_more_than_either_picture():
    under, over = bench_bracket(320, 180)
    assert under.shape == over.shape == (180, 320, 3)
    assert (over == 255).mean() > 0.1
    assert (under < 24).mean() > 0.1
    assert (under == 255).mean() < (over == 255).mean() / 2


def test_the_result_is_consistent():
    fuser = CpuFuser(Curve(), still(network_lines=32), 2)
    result = bench((160, 96), 3, fuser, 2)
    assert result.speedup_over_mertens == pytest.approx(result.mertens_ms / result.fuse_ms)
    assert set(result.stages_ms) == {"shrink", "network", "affine", "pixels"}
    assert max(result.stages_ms.values()) < 2 * result.fuse_ms
    assert result.floor_ms == pytest.approx(1e3 * 5 * 160 * 96 * 3 / (1e9 * result.memory_gb_s))
    assert result.peak_rss_mb > 10
    assert render(result).row_count == 7


def test_what_motion_costs_is_measured_beside():
    fuser = CpuFuser(Curve(), FusionSettings(network_lines=32, motion="full"), 2)
    result = bench((160, 96), 2, fuser, 2)
    assert "motion" in result.stages_ms
    assert result.motion_cost == pytest.approx(result.fuse_ms / result.without_motion_ms - 1)
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


def test_a_wrong_size_is_one_line():
    assert_one_line(livemef("bench", "--size", "big"), "--size", "1920x1080")
