from pathlib import Path

import cv2
import numpy as np
import pytest

from livemef.engine.dataset import Stack, StackCache, open_cache, write_index, write_stack


def lightness_scene(rng: np.random.Generator, height: int, width: int) -> list[np.ndarray]:
    """Planes dark, bright, target of a made scene: a radiance that neither exposure holds, and its compressed form."""
    radiance = cv2.GaussianBlur(rng.random((height, width)).astype(np.float32), (0, 0), 6)
    radiance = (radiance - radiance.min()) / np.ptp(radiance)
    fine = cv2.GaussianBlur(rng.random((height, width)).astype(np.float32), (0, 0), 1)
    radiance = np.exp2(6.0 * radiance - 3.0) * (0.6 + 0.8 * fine)
    dark, bright = np.clip(radiance * 0.12, 0, 1) ** 0.45, np.clip(radiance, 0, 1) ** 0.45
    return [dark, bright, 0.5 * np.clip(radiance / 8.0, 0, 1) ** 0.25 + 0.25 * (dark + bright)]


@pytest.fixture(scope="session")
def made_cache(tmp_path_factory: pytest.TempPathFactory) -> StackCache:
    """Six stacks of five scenes in four groups, 96x120, three of them of two exposures, the others of three and four;
    targets named "mitm" and "mertens" (the same plane)."""
    folder: Path = tmp_path_factory.mktemp("pairs")
    rng = np.random.default_rng(5)
    entries = []
    for number, (scene, group) in enumerate([("a", "1"), ("a", "1"), ("b", "1"), ("c", "2"), ("d", "3"), ("e", "4")]):
        dark, bright, target = lightness_scene(rng, 96, 120)
        middle = [(1 - share) * dark + share * bright for share in [(), (), (), (0.5,), (0.5,), (0.3, 0.6)][number]]
        write_stack(folder, f"{number}.npy", [dark, *middle, bright, target, target])
        frames = tuple(range(2 + len(middle)))
        entries.append(Stack(f"{number}.npy", scene, group, frames, tuple(1.5 * frame for frame in frames)))
    write_index(folder, ("mitm", "mertens"), entries)
    return open_cache(folder)
