"""The planes that steer a bracket's pixels: found in one call, they are those found one after the other."""

import numpy as np
import pytest

from livemef.engine import compiled_network
from livemef.engine.open_net import open_net
from livemef.fusion.cpu.compiled import CompiledLoops
from livemef.fusion.cpu.fuser import CpuFuser
from livemef.fusion.cpu.steering_planes import SmallBracket, steering
from livemef.fusion.kernels.shared_library import compiled
from livemef.fusion.method import guide_planes
from livemef.fusion.motion.steadiness import Place, StreamMemory
from livemef.fusion.motion.views import View
from livemef.fusion.settings import FusionSettings
from livemef.tools.bench.scene import PanningStream

pytestmark = pytest.mark.skipif(not compiled(), reason="the compiled loops are not built here")


def small(seed, height, width, exposures):
    """Encoded small pictures of one scene, dark to bright, which moves a little with the seed."""
    light = np.roll(np.random.default_rng(1).random((height // 4 + 1, width // 4 + 1, 3)), seed % 3, 1)
    light = np.kron(light, np.ones((4, 4, 1)))[:height, :width]
    noise = np.random.default_rng(seed).normal(1, 0.02, light.shape)
    return [np.clip(noise * light * 2.0 ** (e - exposures + 2), 0, 1).astype(np.float32) for e in range(exposures)]


class Stream:
    """A stream's memory, and its brackets one after the other."""

    def __init__(self, loops, settings, exposures, size):
        self.loops, self.settings, self.exposures, self.size = loops, settings, exposures, size
        self.memory, self.frames = StreamMemory(), {}

    def next(self, number):
        """The bracket that this frame completes, or None."""
        index = number % self.exposures
        height, width = self.size
        self.frames[index] = number, small(number, 2 * height, 2 * width, self.exposures)[index]
        if len(self.frames) < self.exposures:
            return None
        place = Place(0, tuple(self.frames[e][0] for e in range(self.exposures)))
        grids = [self.frames[e][1] for e in range(self.exposures)]
        views = [View(grid, self.loops.mean_cells(grid, height, width)) for grid in grids]
        self.memory.follow(place, self.size)
        self.memory.observe(place, views, 4.0, self.loops)
        compared = guide_planes.compares_chroma(self.exposures, self.settings)
        labs = [self.loops.small_lab(view.small, self.settings, compared) for view in views]
        lights, chromas = [light for light, _ in labs], [chroma for _, chroma in labs if compared]
        fused = np.asarray(np.mean(lights, axis=0) / 100, np.float32)
        means = self.memory.colour.follow(place, self.size, self.exposures)
        smalls = [view.small for view in views]
        return SmallBracket(fused, lights, chromas, smalls, self.settings, means, self.memory)


def with_gain(found, exposures):
    """Steering planes of which the coefficients are as they are shown."""
    return np.concatenate(
        [found.gain * found.planes[..., : exposures + 1], found.planes[..., exposures + 1 :]], axis=-1
    )


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("exposures", [2, 3, 4])
@pytest.mark.parametrize("settings", [FusionSettings(), FusionSettings(colour="lab", gamma="adaptive", white=0)])
def test_all_at_once_gives_what_one_after_the_other_gives(threads, exposures, settings):
    loops = CompiledLoops(threads)
    one, other = (Stream(loops, settings, exposures, (45, 71)) for _ in range(2))
    for number in range(3 * exposures + 2):
        ours, theirs = one.next(number), other.next(number)
        if ours is None:
            continue
        found, wanted = loops.steering(ours), steering(theirs, loops)
        compared = exposures == 2 or settings.colour != "tone"
        assert found.planes.shape == (45, 71, 2 * exposures if compared else exposures + 1)
        np.testing.assert_allclose(with_gain(found, exposures), wanted.planes, rtol=1e-5, atol=1e-5)
        assert len(found.drifts) == len(wanted.drifts) == (exposures - 1 if settings.colour == "tone" else 0)
        for factors, others in zip(found.drifts, wanted.drifts, strict=True):
            np.testing.assert_allclose(factors, others, rtol=1e-6)
        assert ours.means.white == pytest.approx(theirs.means.white, rel=1e-12)


def test_stills_are_steered_by_themselves():
    loops, settings = CompiledLoops(2), FusionSettings()
    stream = Stream(loops, settings, 2, (45, 71))
    stream.next(0)
    bracket = stream.next(1)
    alone = SmallBracket(
        bracket.fused, bracket.lights, bracket.chromas, bracket.smalls, settings, bracket.means, memory=None
    )
    found, wanted = loops.steering(alone), steering(alone, loops)
    np.testing.assert_array_equal(found.planes, wanted.planes)
    assert found.gain == wanted.gain == 1
    assert not stream.memory.cycle((45, 71)).planes


@pytest.mark.skipif(compiled_network._library() is None, reason="no compiled network for this processor")
def test_the_network_s_work_is_done_on_the_loops_threads():
    streams = [PanningStream(320, 180, 2) for _ in range(2)]
    fusers = [CpuFuser(open_net("cbm", threads=threads), FusionSettings(), threads) for threads in (1, 3)]
    for _ in range(6):
        one, three = (fuser.fuse(*_still(stream)).pixels for fuser, stream in zip(fusers, streams, strict=True))
        np.testing.assert_array_equal(one, three)


def _still(stream):
    pictures, moments = stream.next()
    return pictures, None, moments
