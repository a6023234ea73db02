"""The registry of fusion methods.

A method is a function `fuse(exposures) -> picture`: two or more HxWx3 BGR uint8, dark to bright, to one of the same
shape and dtype. Its module is imported when it is loaded.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, cast

from livemef.capture.frame import Pixels
from livemef.fusion.errors import FusionError

FuseFunction = Callable[[Sequence[Pixels]], Pixels]


@dataclass(frozen=True)
class Method:
    """A fusion method. load: returns its function.

    our_reading: the paper leaves equations open, and this is our interpretation; published tables must mark that.
    """

    name: str
    title: str
    our_reading: bool
    load: Callable[[], FuseFunction]


def _from_module(module: str, function: str = "fuse") -> Callable[[], FuseFunction]:
    return lambda: cast(FuseFunction, getattr(import_module(f"livemef.fusion.methods.{module}"), function))


def _network(model: str, **settings: Any) -> Callable[[], FuseFunction]:
    def load() -> FuseFunction:
        from livemef.fusion.open_fuser import open_fuser
        from livemef.fusion.settings import FusionSettings

        fuser = open_fuser(FusionSettings(motion="off", **settings), model=model)
        return lambda exposures: fuser.fuse(exposures).pixels

    return load


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("cbm", "U-Net lightness, colour transfer: the default settings", False, _network("cbm")),
        Method("cbm_full", "the same, the network at full resolution", False, _network("cbm", network_lines=0)),
        Method(
            "cbm_paper",
            "U-Net lightness, chroma map: the paper's recipe",
            True,
            _network("cbm-paper", network_lines=0, colour="lab", gamma=1.0, white=0.0),
        ),
        Method("mitm", "multiscale-surround switched retinex, 2024", True, _from_module("mitm")),
        Method("msr", "multi-scale retinex of the average", True, _from_module("msr", "fuse_average")),
        Method("msr_b", "average of multi-scale retinex layers", True, _from_module("msr", "fuse_details")),
        Method("dsift_ef", "dense SIFT, Liu and Wang 2015", False, _from_module("dsift_ef")),
        Method("dsift_ef_dynamic", "dense SIFT for moving scenes", False, _from_module("dsift_ef", "fuse_dynamic")),
        Method("dem", "detail-enhanced YUV pyramid, Wang et al. 2020", False, _from_module("dem")),
        Method("dbm", "DCT quantisation, Lee et al. 2017", True, _from_module("dbm")),
        Method("mertens", "OpenCV createMergeMertens", False, _from_module("mertens")),
    )
}


def find_method(name: str) -> Method:
    """The method of this name. Raises FusionError, with the nearest name, if there is none."""
    if name in METHODS:
        return METHODS[name]
    near = difflib.get_close_matches(name, METHODS, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise FusionError(f"no fusion method {name!r}: {hint}There are {', '.join(METHODS)}")
