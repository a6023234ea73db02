"""Scores of a network on whole validation pictures, at full size and by the live path."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from livemef.engine.dataset import FULL, PairCache, PairEntry
from livemef.engine.errors import EngineError
from livemef.engine.losses import SMALLEST_SIDE, absolute_error, mef_ssim
from livemef.engine.training import fuse_lightness
from livemef.engine.unet import LightnessUNet

LIVE_LINES = 135


def load_planes(cache: PairCache, entry: PairEntry) -> Tensor:
    """All planes of a pair as a tensor, float32 [1,planes,H,W], L*/100. Raises EngineError."""
    return torch.from_numpy(cache.load(entry).astype(np.float32) / np.float32(FULL))[None]


def live_factor(height: int, width: int) -> int:
    """The integer factor, 2 or more, by which the shorter side comes nearest to the live network's 135 lines."""
    return max(2, round(min(height, width) / LIVE_LINES))


def score_net(
    net: LightnessUNet, cache: PairCache, entries: Sequence[PairEntry], target_shares: dict[str, float], by_error: bool
) -> dict[str, float]:
    """Means over the pairs: MEF-SSIM at full size ("full") and by the live path ("live"), absolute error to the target
    in L*/100 ("error"), and "score", by which networks are selected. Pictures below 44 pixels a side are left out.

    "score" is the mean of full and live; with `by_error`, minus the error, for recipes whose loss is the error alone
    (MEF-SSIM would select the network that has learned the target least). Raises EngineError if all pairs are smaller.
    """
    rows = []
    for entry in entries:
        planes = load_planes(cache, entry)
        if min(planes.shape[-2:]) < SMALLEST_SIDE:
            continue
        dark, bright = planes[:, 0:1], planes[:, 1:2]
        target = target_mix(cache, planes, target_shares)
        full = fuse_lightness(net, planes[:, :2], 1).clamp(0.0, 1.0)
        live = fuse_lightness(net, planes[:, :2], live_factor(*planes.shape[-2:])).clamp(0.0, 1.0)
        values = [mef_ssim(dark, bright, full), mef_ssim(dark, bright, live), absolute_error(full, target)]
        rows.append([float(value) for value in values])
    if not rows:
        raise EngineError(
            f"validation pairs of {cache.folder}: none has {SMALLEST_SIDE} pixels a side; give larger ones"
        )
    full_mean, live_mean, error = (float(mean) for mean in np.mean(rows, axis=0))
    chosen_by = -error if by_error else (full_mean + live_mean) / 2
    return {"score": chosen_by, "full": full_mean, "live": live_mean, "error": error}


def target_mix(cache: PairCache, planes: Tensor, shares: dict[str, float]) -> Tensor:
    """The target of a pair, [1,1,H,W]: sum of the cache's targets (in `planes`, [1,planes,H,W]) times their shares."""
    target = torch.zeros_like(planes[:, :1])
    for name, share in shares.items():
        index = cache.planes.index(name)
        target = target + share * planes[:, index : index + 1]
    return target


def write_samples(net: LightnessUNet, cache: PairCache, entries: Sequence[PairEntry], path: Path) -> None:
    """Write a grey contact sheet, a row a pair: under-, over-exposed, fused at full size, fused by the live path."""
    rows = []
    with torch.no_grad():
        for entry in entries:
            planes = load_planes(cache, entry)[:, :2]
            full = fuse_lightness(net, planes, 1)
            live = fuse_lightness(net, planes, live_factor(*planes.shape[-2:]))
            strip = torch.cat([planes[0], full[0], live[0]]).clamp(0.0, 1.0).numpy()
            rows.append(np.hstack([cv2.resize(plane, (300, 200), interpolation=cv2.INTER_AREA) for plane in strip]))
    cv2.imwrite(str(path), np.rint(np.vstack(rows) * 255.0).astype(np.uint8))
