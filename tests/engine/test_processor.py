import ctypes
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from livemef.engine import processor
from livemef.engine.errors import EngineError
from livemef.engine.processor import FLAVOURS, VARIABLE, built, check_sources, level


@pytest.fixture
def libraries(tmp_path: Path) -> Path:
    for name in ("_loops", "_loops_avx2", "_loops_avx512", "_loops_bf16"):
        (tmp_path / f"{name}{processor.EXTENSION_SUFFIXES[0]}").touch()
    return tmp_path


def of(name: str, folder: Path) -> Path:
    return folder / f"{name}{processor.EXTENSION_SUFFIXES[0]}"


@pytest.mark.parametrize(
    ("has", "wanted", "found"),
    [
        (3, None, "_loops_bf16"),
        (3, "avx512", "_loops_avx512"),
        (2, None, "_loops_avx512"),
        (2, "bf16", "_loops_avx512"),
        (2, "avx2", "_loops_avx2"),
        (2, "any", "_loops"),
        (1, None, "_loops_avx2"),
        (1, "avx512", "_loops_avx2"),
        (0, "avx512", "_loops"),
    ],
)
def test_the_best_that_runs_here_is_chosen(
    libraries: Path, monkeypatch: pytest.MonkeyPatch, has: int, wanted: str | None, found: str
) -> None:
    monkeypatch.setattr(processor, "_level_of_processor", lambda: has)
    monkeypatch.delenv(VARIABLE, raising=False)
    if wanted is not None:
        monkeypatch.setenv(VARIABLE, wanted)
    assert built(libraries, "_loops") == of(found, libraries)


def test_a_lesser_one_serves_where_the_best_was_not_built(libraries: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "_level_of_processor", lambda: 2)
    monkeypatch.delenv(VARIABLE, raising=False)
    of("_loops_avx512", libraries).unlink()
    assert built(libraries, "_loops") == of("_loops_avx2", libraries)
    assert built(libraries, "_others") is None


def test_another_word_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "sse9")
    with pytest.raises(EngineError, match="any, avx2, avx512, bf16"):
        level()


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_every_flavour_that_runs_here_fuses_alike(flavour: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    if FLAVOURS.index(flavour) > level():
        pytest.skip(f"this processor has no {flavour}, or it is not built")
    program = """
import numpy as np, sys
from livemef.fusion.cpu.fuser import CpuFuser
from livemef.fusion.settings import FusionSettings
from tests.fusion.brackets import Curve, extremes, noise
for bracket in (noise(90, 161), extremes(90, 161)):
    fused = CpuFuser(Curve(), FusionSettings(network_lines=32, motion="off"), 1).fuse(bracket).pixels
    sys.stdout.buffer.write(fused.astype(np.uint16).tobytes())
"""
    pictures = []
    for one in (flavour, "any"):
        monkeypatch.setenv(VARIABLE, one)
        done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True, timeout=60)
        pictures.append(np.frombuffer(done.stdout, np.uint16).astype(int))
    assert pictures[0].size > 1000
    assert (np.abs(pictures[0] - pictures[1]) <= 1).mean() >= 0.9999


@pytest.mark.parametrize(("room", "stem"), [("fusion", "_pixels"), ("engine", "_network")])
def test_loops_of_other_sources_are_refused(room: str, stem: str, tmp_path: Path) -> None:
    """After an update that was not compiled again they would give wrong pictures, or crash."""
    folder = Path(processor.__file__).parents[1] / room
    path = built(folder, stem)
    if path is None:
        pytest.skip("the loops are not built")
    library = ctypes.CDLL(str(path))
    check_sources(library, folder / "kernels")
    shutil.copytree(folder / "kernels", tmp_path / "kernels")
    check_sources(library, tmp_path / "kernels")
    with (tmp_path / "kernels" / "threads_of_tomorrow.h").open("w") as changed:
        changed.write("/* a change */\n")
    with pytest.raises(EngineError, match="make setup"):
        check_sources(library, tmp_path / "kernels")


def test_loops_that_state_no_sources_are_refused() -> None:
    """Such as were compiled before they stated any: here a library that is none of ours."""
    library = ctypes.CDLL(None)
    with pytest.raises(EngineError, match="make setup"):
        check_sources(library, Path(processor.__file__).parent / "kernels")
