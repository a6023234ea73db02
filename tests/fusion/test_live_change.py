"""Settings that change in a running fuser: from the next bracket on its pixels are those of a fuser that had them.

New lines for the network, or another way with motion: of a new fuser. Any other setting: of a fuser that had it all
along and was fed the same stream, since what was learned of motion and noise stays.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from livemef.capture.frame import Pixels
from livemef.engine.errors import EngineError
from livemef.fusion.cpu.fuser import CpuFuser
from livemef.fusion.motion.compensation import Moments
from livemef.fusion.motion.steadiness import Place, StreamMemory
from livemef.fusion.open_fuser import open_fuser
from livemef.fusion.process import Change, FusionJob, _Stage
from livemef.fusion.settings import ALLOWED, FusionSettings
from livemef.fusion.stream.publisher import Publisher
from livemef.fusion.tally import Tally
from tests.fusion.brackets import Curve, scene

OTHERS: dict[str, tuple[Any, ...]] = {
    "network_lines": (16, 40, 0),
    "gamma": (0.5, "adaptive", 2.0),
    "adaptive_target": (0.8,),
    "white": (0, 70.0),
    "colour": ("lab", "chromaticity"),
    "shoulder": (3.0,),
    "chroma": ("weighted",),
    "window_radius": (1, 9),
    "window_eps": (25.0,),
    "motion": ("off", "global"),
}
NEW_MEMORY = ("network_lines", "motion")
BASE = FusionSettings(network_lines=24)
BASES = {"adaptive_target": replace(BASE, gamma="adaptive"), "chroma": replace(BASE, colour="lab")}
CHANGES = [(name, value) for name, values in OTHERS.items() for value in values]


def brackets(first: int, count: int) -> Iterator[tuple[Sequence[Pixels], Moments]]:
    """Of one stream: sliding brackets of a still scene with new noise in each frame."""
    for number in range(first, first + count):
        place = Place(0, (number, number + 1) if number % 2 == 0 else (number + 1, number))
        pair = scene(96, 128, seed=5)
        noisy = [np.roll(pixels, number % 3, axis=1) for pixels in pair]
        yield noisy, Moments((1000.0, 16000.0), 1, place)


def fused(fuser: CpuFuser, first: int, count: int) -> list[Pixels]:
    return [fuser.fuse(exposures, moments=moments).pixels for exposures, moments in brackets(first, count)]


def test_every_setting_is_tried() -> None:
    assert OTHERS.keys() == ALLOWED.keys()


@pytest.mark.parametrize(("name", "value"), CHANGES, ids=str)
def test_pixels_after_a_change_are_those_of_a_new_fuser(name: str, value: Any) -> None:
    before = BASES.get(name, BASE)
    after = replace(before, **{name: value})
    changed, new = CpuFuser(Curve(), before, 2), CpuFuser(Curve(), after, 2)
    old = fused(changed, 0, 5)
    changed.change(after)
    if name in NEW_MEMORY:
        assert changed._memory == StreamMemory()
    else:
        fused(new, 0, 5)
        new.change(after)  # a change to the same: what was averaged over rendered brackets begins anew here too
    result, wanted = fused(changed, 5, 5), fused(new, 5, 5)
    np.testing.assert_array_equal(result, wanted)
    assert (result[0] != fused(CpuFuser(Curve(), before, 2), 5, 1)[0]).any() or name == "motion"
    if name in NEW_MEMORY:
        changed.change(before)
        np.testing.assert_array_equal(fused(changed, 0, 5), old)


@pytest.mark.parametrize(("name", "value"), [change for change in CHANGES if change[0] not in NEW_MEMORY], ids=str)
def test_what_was_learned_of_motion_outlives_a_change_of_tone_or_colour(name: str, value: Any) -> None:
    before = BASES.get(name, BASE)
    changed, unchanged, new = (CpuFuser(Curve(), before, 2) for _ in range(3))
    for fuser in (changed, unchanged):
        fused(fuser, 0, 8)
    changed.change(replace(before, **{name: value}))
    for number, (exposures, moments) in enumerate(brackets(8, 4)):
        masks = [fuser.fuse(exposures, moments=moments).motion.mask for fuser in (changed, unchanged, new)]  # type: ignore[union-attr]
        np.testing.assert_array_equal(masks[0], masks[1])
        assert number or (masks[0] != masks[2]).any()  # a new fuser would not know so much


class Refusing:
    """A fuser whose device cannot do the new settings."""

    settings, device, in_flight = BASE, "cpu", 1

    def change(self, settings: FusionSettings) -> None:
        raise EngineError("no room")


def test_a_change_that_the_device_refuses_changes_nothing() -> None:
    with Publisher("pub+bind:ipc://@livemef-test-refused-change") as publisher:
        stage = _Stage(Refusing(), [publisher], Tally(), FusionJob(None, (), BASE, settings_rev=3))  # type: ignore[arg-type]
        with pytest.raises(EngineError, match="no room"):
            stage.change(Change(4, replace(BASE, gamma=2.0), "png", "disjoint"))
        assert publisher.codec == "raw"
        assert (stage._settings_rev, stage.bracket_mode) == (3, "sliding")


def test_a_change_of_the_codec_alone_keeps_what_was_learned() -> None:
    fuser = open_fuser(BASE, device="cpu")
    with Publisher("pub+bind:ipc://@livemef-test-codec-change") as publisher:
        stage = _Stage(fuser, [publisher], Tally(), FusionJob(None, (), BASE))  # type: ignore[arg-type]
        stage.change(Change(4, codec="jpeg"))
        assert publisher.codec == "jpeg"
        assert fuser.settings == BASE
    fuser.close()
