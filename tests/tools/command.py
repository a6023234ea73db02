"""Running the real command, and a network small enough to be made by the test."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).parents[2]


def livemef(*arguments: object, cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    """`livemef ARGUMENTS` in a process of its own, with these variables and none other of LIVEMEF_*."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LIVEMEF_")}
    environment = inherited | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"} | variables
    command = [sys.executable, "-m", "livemef.tools.cli", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60)


def assert_one_line(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """The run was refused as input or surroundings: exit code 2, one line that says these words, no traceback."""
    assert done.returncode == 2, done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("livemef: ")
    for word in words:
        assert word in lines[0]


def mean_network(path: Path) -> Path:
    """A valid network file whose lightness is the mean of the two."""
    import onnx
    from onnx import TensorProto, helper

    given = helper.make_tensor_value_info("lightness", TensorProto.FLOAT, [1, 2, "H", "W"])
    wanted = helper.make_tensor_value_info("fused", TensorProto.FLOAT, [1, 1, "H", "W"])
    node = helper.make_node("ReduceMean", ["lightness"], ["fused"], axes=[1], keepdims=1)
    graph = helper.make_graph([node], "mean", [given], [wanted])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


def bracket(height: int = 48, width: int = 64, dtype: str = "uint8", seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """An under- and an over-exposed picture of a smooth scene of high contrast."""
    rng = np.random.default_rng(seed)
    field = cv2.resize(rng.uniform(-4, 4, (6, 8, 3)), (width, height), interpolation=cv2.INTER_CUBIC)
    white = np.iinfo(dtype).max
    pictures = [np.clip(2.0 ** (field + stops) * 0.2, 0, 1) ** (1 / 2.2) * white for stops in (-2, 2)]
    return pictures[0].astype(dtype), pictures[1].astype(dtype)


def write_scene(folder: Path, suffix: str = ".png", dtype: str = "uint8", seed: int = 0) -> Path:
    """A folder with under and over of one scene."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in zip(("under", "over"), bracket(dtype=dtype, seed=seed), strict=True):
        assert cv2.imwrite(str(folder / f"{name}{suffix}"), picture)
    return folder
