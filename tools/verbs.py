"""The verbs of the command line, and the function of each, imported on use."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Verb:
    """A verb, `livemef NAME`. attribute: name of a function with typer annotations, or of a Typer, in the module
    livemef.tools.`module`. panel: heading in the list of verbs.
    """

    name: str
    summary: str
    module: str
    attribute: str
    panel: str

    def load(self) -> Any:
        """Import the function or Typer of the verb."""
        return getattr(importlib.import_module(f"livemef.tools.{self.module}"), self.attribute)


LIVE, PICTURES, METHOD = "Live", "Pictures and recordings", "The method"

VERBS = (
    Verb("run", "Fuse a camera's alternating exposures live and publish them.", "run.command", "run_command", LIVE),
    Verb("watch", "Receive fused frames: rate, latency, gaps.", "watch", "watch_command", LIVE),
    Verb("preview", "Show any publisher's pictures in the browser.", "preview.command", "preview_command", LIVE),
    Verb("push", "Send the fused pictures as H.264: RTSP, MPEG-TS, a file.", "video.push", "push_command", LIVE),
    Verb(
        "vcam", "Be a camera of this machine, for programs that know cameras only.", "video.vcam", "vcam_command", LIVE
    ),
    Verb("foxglove", "Show the pictures in Foxglove, record MCAP.", "foxglove_bridge", "foxglove_command", LIVE),
    Verb("ctl", "Look at a running livemef and change it.", "ctl", "application", LIVE),
    Verb("keys", "Keys for publishing to other machines.", "keys", "application", LIVE),
    Verb("cameras", "List the cameras that are here, and try each.", "cameras", "cameras_command", LIVE),
    Verb("doctor", "Check this machine: cameras, GPU, libraries.", "doctor.command", "doctor_command", LIVE),
    Verb("build", "Build the TensorRT engine or the CUDA kernels here.", "build", "build_command", LIVE),
    Verb("calibrate", "Measure a camera, for its profile.", "calibrate", "application", LIVE),
    Verb("fuse", "Fuse pictures of one scene, or a folder of scenes.", "fuse", "fuse_command", PICTURES),
    Verb("merge", "Merge exposures into linear light: EXR, HDR, TIFF.", "merge", "merge_command", PICTURES),
    Verb("quality", "Measure a camera from a picture of a ColorChecker.", "quality", "quality_command", PICTURES),
    Verb("shoot", "Archival records of objects, one bag each.", "field.command", "application", PICTURES),
    Verb("record", "Record brackets from a camera, for replay.", "record", "record_command", PICTURES),
    Verb("bench", "Time the fusion, next to OpenCV's Mertens.", "bench.command", "bench_command", METHOD),
    Verb("lab", "Train, export and evaluate networks and methods.", "research.verbs", "application", METHOD),
)
