"""Cameras of every kind for tests, with the true exposure of each frame, and means to disconnect them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from livemef.capture.cameras.base import Camera
from livemef.capture.cameras.simulated import SimulatedCamera
from livemef.capture.files.image_io import write_picture
from livemef.capture.frame import Exposure, Frame
from tests.capture.cameras.pi_stand_in import PiCamera, pi
from tests.vm import watermark
from tests.vm.kernel_camera import KernelCamera

TruthOf = Callable[[Camera, Frame], Exposure]
"""The exposure that a frame was really given."""


@dataclass(frozen=True)
class Rig:
    """A camera to test. openings: how often opening and closing is tried, less where it takes long.

    stalling: the URI of the same camera stalling by itself soon after it starts; or else `stall` makes it. kernel: the
    hand on its plug. other: the same camera for another program, where only one can have it. missing: a camera of the
    kind that is not here. automatic: what the camera goes on doing by itself.
    """

    uri: str
    truth_of: TruthOf
    openings: int = 100
    stalling: str = ""
    stall: Callable[[float], None] | None = None
    kernel: KernelCamera | None = None
    other: str = ""
    missing: str = ""
    automatic: tuple[str, ...] = ()


def _simulated_truth(camera: Camera, frame: Frame) -> Exposure:
    assert isinstance(camera, SimulatedCamera)
    return next(truth.exposure for truth in camera.truth if truth.sequence == frame.record.sequence)


def _marked_truth(camera: Camera, frame: Frame) -> Exposure:
    return Exposure(watermark.read(frame.pixels)[1])


def _replayed_truth(camera: Camera, frame: Frame) -> Exposure:
    return camera.info.plan[watermark.read(frame.pixels)[0]]


def _simulated(query: str) -> Rig:
    uri = f"sim://?scene=bars&size=160x120&fps=60&step=100us&delay=3&seed=2&{query}"
    return Rig(uri, _simulated_truth, stalling=f"{uri}&stall=0.3&stall_time=0.7s")


def _replayed(folder: Path) -> Rig:
    for index, grey in enumerate((10, 200)):
        picture = np.full((120, 160, 3), grey, np.uint8)
        watermark.draw(picture, index, 0.0)
        write_picture(folder / f"{index}.png", picture)
    return Rig(f"file://{folder}?fps=60", _replayed_truth, missing=f"file://{folder}/none")


def _stand_in(camera: type[PiCamera]) -> Rig:
    def stall(seconds: float) -> None:
        camera.stall_s = seconds

    uri = "csi://0?size=160x120&fps=33"
    return Rig(uri, _marked_truth, 5, stall=stall, other=uri, missing="csi://7")


@contextmanager
def rig(kind: str, folder: Path, kernel: Callable[[], KernelCamera]) -> Iterator[Rig]:
    """A rig of that kind. folder: an empty one. kernel: gives the virtual machine's camera."""
    if kind == "sim":
        yield _simulated("metadata=on")
    elif kind == "sim, exposure not reported":
        yield _simulated("metadata=off")
    elif kind == "file":
        yield _replayed(folder)
    elif kind == "csi, stand-in":
        with pi() as camera:
            yield _stand_in(camera)
    else:
        camera = kernel()
        if kind == "v4l2":
            node = "v4l2:///dev/video0"
            yield Rig(node, _marked_truth, stall=camera.stall, kernel=camera, other=node, missing="v4l2:///dev/video9")
        else:
            yield Rig(
                "csi://0",
                _marked_truth,
                openings=10,
                stall=camera.stall,
                kernel=camera,
                other="libcamera://0",
                missing="csi://7",
                automatic=("automatic white balance",),  # libcamera has no control of a USB camera's
            )


KINDS = (
    "sim",
    "sim, exposure not reported",
    "file",
    "csi, stand-in",
    pytest.param("v4l2", marks=pytest.mark.vm),
    pytest.param("csi", marks=pytest.mark.vm),
)
