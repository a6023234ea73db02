"""Scores of a network on whole validation pictures, at full size and by the live path."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from livemef.engine.dataset import FULL, Stack, StackCache
from livemef.engine.errors import EngineError
from livemef.engine.losses import SMALLEST_SIDE, absolute_error, mef_ssim
from livemef.engine.training import fuse_lightness
from livemef.engine.unet import LightnessUNet

LIVE_LINES = 90
"""Lines of the network's picture in live use: the default of the setting `network_lines`."""


def load_planes(cache: StackCache, entry: Stack) -> tuple[Tensor, Tensor]:
    """(exposures, targets) of a stack, each float32 [1,planes,H,W], L*/100. Raises EngineError."""
    planes = torch.from_numpy(cache.load(entry).astype(np.float32) / np.float32(FULL))[None]
    return planes[:, : len(entry.frames)], planes[:, len(entry.frames) :]


def live_factor(height: int, width: int) -> int:
    """The integer factor, 2 or more, by which the shorter side comes nearest to LIVE_LINES."""
    return max(2, round(min(height, width) / LIVE_LINES))


def score_net(
    net: LightnessUNet, cache: StackCache, entries: Sequence[Stack], target_shares: dict[str, float], by_error: bool
) -> dict[str, float]:
    """Means over the stacks, all exposures of which are fused: MEF-SSIM at full size ("full") and by the live path
    ("live"), absolute error to the target in L*/100 ("error"), and "score", by which networks are selected. The means
    are taken over the stacks of each number of exposures, then over these numbers. Pictures below 44 pixels a side are
    left out.

    "score" is the mean of full and live; with `by_error`, minus the error, for recipes whose loss is the error alone
    (MEF-SSIM would select the network that has learned the target least). Raises EngineError if all stacks are smaller.
    """
    rows: dict[int, list[list[float]]] = {}
    for entry in entries:
        exposures, targets = load_planes(cache, entry)
        if min(exposures.shape[-2:]) < SMALLEST_SIDE:
            continue
        full = fuse_lightness(net, exposures, 1).clamp(0.0, 1.0)
        live = fuse_lightness(net, exposures, live_factor(*exposures.shape[-2:])).clamp(0.0, 1.0)
        target = target_mix(cache, targets, target_shares)
        values = [mef_ssim(exposures, full), mef_ssim(exposures, live), absolute_error(full, target)]
        rows.setdefault(len(entry.frames), []).append([float(value) for value in values])
    if not rows:
        raise EngineError(
            f"validation stacks of {cache.folder}: none has {SMALLEST_SIDE} pixels a side; give larger ones"
        )
    means = [np.mean(values, axis=0) for values in rows.values()]
    full_mean, live_mean, error = (float(mean) for mean in np.mean(means, axis=0))
    chosen_by = -error if by_error else (full_mean + live_mean) / 2
    return {"score": chosen_by, "full": full_mean, "live": live_mean, "error": error}


def target_mix(cache: StackCache, targets: Tensor, shares: dict[str, float]) -> Tensor:
    """The target of a stack, [1,1,H,W]: sum of the cache's targets ([1,targets,H,W]) times their shares."""
    target = torch.zeros_like(targets[:, :1])
    for name, share in shares.items():
        index = cache.targets.index(name)
        target = target + share * targets[:, index : index + 1]
    return target


def write_samples(net: LightnessUNet, cache: StackCache, entries: Sequence[Stack], path: Path) -> None:
    """Write a grey contact sheet, a row a stack: darkest, brightest, fused at full size, fused by the live path."""
    rows = []
    with torch.no_grad():
        for entry in entries:
            exposures, _ = load_planes(cache, entry)
            full = fuse_lightness(net, exposures, 1)
            live = fuse_lightness(net, exposures, live_factor(*exposures.shape[-2:]))
            strip = torch.cat([exposures[0, [0, -1]], full[0], live[0]]).clamp(0.0, 1.0).numpy()
            rows.append(np.hstack([cv2.resize(plane, (300, 200), interpolation=cv2.INTER_AREA) for plane in strip]))
    cv2.imwrite(str(path), np.rint(np.vstack(rows) * 255.0).astype(np.uint8))
