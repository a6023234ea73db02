"""Brackets of each kind, for tools that watch the kernels at work: python -m tests.gpu.fuse_once."""

from functools import partial

import numpy as np

from livemef.engine.net_on_host import NetOnHost
from livemef.fusion.cuda.fuser import CudaFuser
from livemef.fusion.settings import FusionSettings
from livemef.tools.bench.scene import PanningStream
from tests.fusion.brackets import Curve, noise

still = partial(FusionSettings, motion="off")

if __name__ == "__main__":
    for dtype in (np.uint8, np.uint16):
        for lines in (0, 48):
            settings = still(network_lines=lines, gamma="adaptive")
            CudaFuser(NetOnHost(Curve()), settings).fuse(noise(101, 275, dtype))
    for exposures in (2, 3, 4):
        fuser, stream = CudaFuser(NetOnHost(Curve()), FusionSettings()), PanningStream(275, 201, exposures)
        for _ in range(2 * exposures):
            pictures, moments = stream.next()
            fuser.fuse(pictures, moments=moments)
