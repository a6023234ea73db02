"""The verbs of the command line, each with the function that does it; its file is imported when it is used."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Verb:
    """A verb: `livemef NAME`. `attribute` in `module` is a function with typer annotations, or a Typer with verbs."""

    name: str
    summary: str
    module: str
    attribute: str
    panel: str

    def load(self) -> Any:
        """The function that does it, or the Typer that has its verbs."""
        return getattr(importlib.import_module(self.module), self.attribute)


LIVE, PICTURES, METHOD = "Live", "Pictures and recordings", "The method"

VERBS = (
    Verb("run", "Fuse a camera's alternating exposures live and publish the result.", "tools.run", "run_command", LIVE),
    Verb("watch", "Receive fused frames: rate, latency, gaps.", "tools.watch", "watch_command", LIVE),
    Verb("cameras", "List the cameras that are here, and try each.", "tools.cameras", "cameras_command", LIVE),
    Verb("doctor", "Tell what of cameras, GPU and libraries is here.", "tools.doctor", "doctor_command", LIVE),
    Verb("build", "Make ready for CUDA on this device.", "tools.build", "build_command", LIVE),
    Verb("calibrate", "Find out what is true of a camera, for its profile.", "tools.calibrate", "application", LIVE),
    Verb("fuse", "Fuse pictures of one scene, or a folder of scenes.", "tools.fuse", "fuse_command", PICTURES),
    Verb("record", "Record brackets from a camera, for replay.", "tools.record", "record_command", PICTURES),
    Verb("bench", "Time the fusion, next to OpenCV's Mertens.", "tools.bench", "bench_command", METHOD),
    Verb("evaluate", "Score fusion methods on a folder of scenes.", "tools.evaluate", "evaluate_command", METHOD),
    Verb("label", "Make training pairs from folders of exposures.", "tools.label", "label_command", METHOD),
    Verb("train", "Train the lightness network.", "tools.train", "train_command", METHOD),
    Verb("export", "Write a trained network as ONNX.", "tools.export", "export_command", METHOD),
    Verb("quantize", "Write a network with int8 layers.", "tools.quantize", "quantize_command", METHOD),
    Verb(
        "ablate-weights",
        "Train with and without variance-driven weights, and compare.",
        "tools.ablate_weights",
        "ablate_weights_command",
        METHOD,
    ),
    Verb(
        "ablate-fusion",
        "Compare chroma rules and gammas on a folder of scenes.",
        "tools.ablate_fusion",
        "ablate_fusion_command",
        METHOD,
    ),
)
