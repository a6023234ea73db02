"""Fuse arrays, here three exposures of a made-up scene of 12 stops: python fuse_arrays.py fused.png."""

import sys

import numpy as np

import livemef


def exposures() -> list[np.ndarray]:
    """BGR, uint16: a ramp of light from 2^-6 to 2^6, photographed with 1/16, 1 and 16 times the light."""
    light = np.exp2(np.linspace(-6, 6, 640))[None, :, None] * np.array([0.8, 1.0, 0.6])
    rows = np.broadcast_to(light, (360, 640, 3))
    return [(np.clip(0.2 * times * rows, 0, 1) ** (1 / 2.2) * 65535).astype(np.uint16) for times in (1 / 16, 1, 16)]


def main(output: str) -> None:
    """With one fuser for many brackets the network is loaded once."""
    settings = livemef.FusionSettings(motion="off", gamma="adaptive")
    with livemef.open_fuser(settings) as fuser:
        fused = fuser.fuse(exposures())
    livemef.write_picture(output, fused.pixels)
    print(output, fused.pixels.dtype, {stage: f"{ms:.1f} ms" for stage, ms in fused.stages_ms.items()})


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
