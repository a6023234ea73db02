"""The network: two lightness planes in, one out. A plain U-Net after a pixel unshuffle, for speed on small devices.

Ronneberger, Fischer, Brox, "U-Net" (2015), with these choices: the full-resolution layers, which cost most,
work on 2x2 pixels at a time (pixel unshuffle, Shi et al. 2016); the last 1x1 convolution sees the unshuffled
inputs beside the features, so the inputs pass linearly and the rest learns a correction; upsampling is nearest
neighbour. The operations are those that all ONNX parsers in question support: Conv, Relu, MaxPool, Resize
(nearest), Concat, Reshape, Transpose.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

UNSHUFFLE = 2
INPUTS = 2


@dataclass(frozen=True)
class NetShape:
    """Shape of the U-Net. widths: channels of each level, finest first."""

    widths: tuple[int, ...] = (16, 32, 48, 64)

    @property
    def multiple(self) -> int:
        """Height and width of the input must be multiples of this."""
        return UNSHUFFLE << (len(self.widths) - 1)


class LightnessUNet(nn.Module):
    """Maps float32 [N,2,H,W] (under-, over-exposed; L*/100) to [N,1,H,W], not clamped.

    H and W must be multiples of `shape.multiple`.
    """

    def __init__(self, shape: NetShape = NetShape()) -> None:
        super().__init__()
        self.shape = shape
        unshuffled = INPUTS * UNSHUFFLE**2
        self.down = nn.ModuleList(
            _two_convolutions(into, out)
            for into, out in zip((unshuffled, *shape.widths[:-1]), shape.widths, strict=True)
        )
        self.up = nn.ModuleList(
            _two_convolutions(deep + skip, skip) for skip, deep in zip(shape.widths[:-1], shape.widths[1:], strict=True)
        )
        self.last = nn.Conv2d(shape.widths[0] + unshuffled, UNSHUFFLE**2, 1)
        _start_as_mean(self.last, shape.widths[0])

    def forward(self, lightness: Tensor) -> Tensor:
        """The fused lightness, L*/100."""
        blocks = functional.pixel_unshuffle(lightness, UNSHUFFLE)
        features = self.down[0](blocks)
        skips = [features]
        for level in self.down[1:]:
            features = level(functional.max_pool2d(features, 2))
            skips.append(features)
        for index in reversed(range(len(self.up))):
            finer = functional.interpolate(features, scale_factor=2.0, mode="nearest")
            features = self.up[index](torch.cat([finer, skips[index]], dim=1))
        return functional.pixel_shuffle(self.last(torch.cat([features, blocks], dim=1)), UNSHUFFLE)


def _two_convolutions(into: int, out: int) -> nn.Sequential:
    first, second = nn.Conv2d(into, out, 3, padding=1), nn.Conv2d(out, out, 3, padding=1)
    for layer in (first, second):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        assert layer.bias is not None
        nn.init.zeros_(layer.bias)
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU())


def _start_as_mean(last: nn.Conv2d, features: int) -> None:
    """Initialise the last layer so that the untrained network returns about the mean of its two inputs."""
    cells = UNSHUFFLE**2
    with torch.no_grad():
        assert last.bias is not None
        last.bias.zero_()
        last.weight.mul_(0.01)
        for cell in range(cells):
            for plane in range(INPUTS):
                last.weight[cell, features + plane * cells + cell] = 1.0 / INPUTS
