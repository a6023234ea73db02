"""`livemef lab`: the verbs of research."""

from __future__ import annotations

import typer

from livemef.tools.verb_group import HELP_OPTIONS, verb_group
from livemef.tools.verbs import Verb

METHODS, NETWORKS = "Methods", "Networks"

LAB_VERBS = (
    Verb("evaluate", "Score methods on a folder of scenes.", "research.evaluate", "evaluate_command", METHODS),
    Verb(
        "ablate-fusion",
        "Compare chroma rules and gammas on a folder of scenes.",
        "research.ablate_fusion",
        "ablate_fusion_command",
        METHODS,
    ),
    Verb(
        "steadiness",
        "Measure how steady live fusion is on clips.",
        "research.steadiness",
        "steadiness_command",
        METHODS,
    ),
    Verb("label", "Make training stacks from exposures.", "research.label", "label_command", NETWORKS),
    Verb("train", "Train the lightness network.", "research.train", "train_command", NETWORKS),
    Verb("export", "Write a trained network as ONNX.", "research.export", "export_command", NETWORKS),
    Verb("quantize", "Write a network with int8 layers.", "research.quantize", "quantize_command", NETWORKS),
    Verb(
        "ablate-weights",
        "Train with and without variance-driven weights, and compare.",
        "research.ablate_weights",
        "ablate_weights_command",
        NETWORKS,
    ),
)

application = typer.Typer(cls=verb_group(LAB_VERBS), context_settings=HELP_OPTIONS, add_completion=False)


@application.callback()
def _lab() -> None:
    """Train, export and evaluate networks and methods."""
