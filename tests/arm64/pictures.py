"""The same brackets fused on two machines: pictures.py OUTPUT.npz, then pictures.py --compare HERE.npz THERE.npz."""

import sys

import numpy as np

from livemef.fusion.kernels.shared_library import compiled
from livemef.fusion.open_fuser import open_fuser
from livemef.fusion.settings import FusionSettings
from tests.fusion.brackets import scene
from tests.fusion.motion.fuse_tied_levels import bracket

MOST_CODES = 1
"""How far two processors' pictures may be apart: roundings that fall on the other side."""


def fused() -> dict[str, np.ndarray]:
    """Each bracket, fused with the shipped network, motion off and full."""
    assert compiled(), "the compiled loops are not built"
    brackets = {"scene": scene(180, 320), "moving": bracket()}
    return {
        f"{name}, motion {mode}": open_fuser(FusionSettings(motion=mode), device="cpu", threads=2).fuse(pictures).pixels
        for name, pictures in brackets.items()
        for mode in ("off", "full")
    }


def compare(here: str, there: str) -> bool:
    """Print how far the pictures are apart; false if that is too far."""
    ours, theirs = np.load(here), np.load(there)
    apart = {name: np.abs(ours[name].astype(int) - theirs[name]) for name in ours.files}
    for name, codes in apart.items():
        print(f"{name}: at most {codes.max()} codes apart, {100 * (codes > 0).mean():.3f} % of the values differ")
    return set(ours.files) == set(theirs.files) and all(codes.max() <= MOST_CODES for codes in apart.values())


if __name__ == "__main__":
    if sys.argv[1] == "--compare":
        sys.exit(not compare(*sys.argv[2:]))
    np.savez(sys.argv[1], **fused())
