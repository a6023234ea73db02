"""Uses an installed livemef, from a folder that knows nothing of its sources: installed.py ROOT WHEEL."""

import importlib.util
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np

ROOMS = ("capture", "engine", "fusion", "calibration", "tools")
NAMED = (
    "tools/systemd/livemef.service",
    "tools/config/livemef.toml",
    "tools/preview/page/index.html",
    "engine/models/cbm.onnx",
    "engine/models/cbm-paper.onnx",
    "fusion/kernels/fusion.fatbin",
)
"""Files that the documents name, and that livemef reads."""


def files_are_in(root: Path, wheel: Path) -> None:
    """Every file of the rooms that git keeps, under one top-level name."""
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    print("top-level names:", *sorted(tops))
    assert {top for top in tops if not top.endswith(".dist-info")} == {"livemef"}
    kept = subprocess.run(["git", "ls-files", *ROOMS], cwd=root, capture_output=True, text=True, check=True, timeout=60)
    lacking = {f"livemef/{name}" for name in kept.stdout.splitlines()} - set(names)
    assert not lacking, f"not in the wheel: {sorted(lacking)}"
    installed = Path(str(importlib.util.find_spec("livemef").origin)).parent
    assert root not in installed.parents, installed
    for name in NAMED:
        assert (installed / name).is_file(), name
    print(f"files: {len(names)}, all that git keeps in {', '.join(ROOMS)}")


def livemef(*arguments: object) -> str:
    """What `livemef ARGUMENTS` prints; it must succeed."""
    done = subprocess.run(["livemef", *map(str, arguments)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"livemef {arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    print("done: livemef", *arguments)
    return done.stdout


def it_is_used() -> None:
    """The first things that anybody does."""
    assert livemef("--version").startswith("livemef ")
    report = livemef("doctor", "--json")
    assert "compiled pixel loops" in report
    ramp = np.linspace(0, 255, 160, dtype=np.uint8)[None, :, None].repeat(90, 0).repeat(3, 2)
    cv2.imwrite("under.png", ramp // 4)
    cv2.imwrite("over.png", np.minimum(ramp.astype(int) * 2, 255).astype(np.uint8))
    livemef("fuse", "under.png", "over.png", "-o", "fused.png")
    assert cv2.imread("fused.png").shape == (90, 160, 3)
    livemef("record", "--camera", "sim://?size=160x90&pace=fast", "--exposures", "1ms,16ms", "--brackets", 8, "-o", "r")
    out = livemef("run", "--camera", "file://r?pace=stepped", "--frames", 5, "--no-preview", "--json")
    assert json.loads(out.splitlines()[-1])["fused"] >= 5


if __name__ == "__main__":
    files_are_in(Path(sys.argv[1]), Path(sys.argv[2]))
    it_is_used()
    print("the installed livemef works")
