"""Options that several verbs share, with the same names and help everywhere."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer

from livemef.tools.config.schema import Config
from livemef.tools.config.sources import flatten


@cache
def _defaults() -> dict[str, Any]:
    return flatten(Config().model_dump())


def default_of(key: str) -> str:
    """The built-in default of a setting (its dotted key), as the help shows it."""
    return str(_defaults()[key])


def default_page() -> str:
    """Host and port of the preview's page by default."""
    return f"{default_of('preview.host')}:{default_of('preview.port')}"


def setting(key: str, flag: str, metavar: str, text: str, default: str | None = None) -> Any:
    """The option `flag` for a setting: with `text` as its help, and the setting's built-in default shown.

    default: what is shown instead, where verbs differ.
    """
    return typer.Option(flag, metavar=metavar, help=text, show_default=default or default_of(key))


ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="A TOML file of settings; LIVEMEF_CONFIG names one as well."),
]
PrintConfigOption = Annotated[
    bool,
    typer.Option("--print-config", help="Print the effective settings as TOML, with where each was set, and end."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON lines for programs instead of text.")]
CameraOption = Annotated[
    str | None,
    setting("capture.camera", "--camera", "URI", "Where frames come from: sim://, csi://0, v4l2:///dev/video0, ..."),
]
NamedCameraOption = Annotated[
    str | None, typer.Option("--camera", metavar="URI", help="The camera: csi://0, v4l2:///dev/video0, sim://, ...")
]
"""For verbs that need a camera to be named, by the option, a file or a variable."""
ExposuresOption = Annotated[
    str | None,
    setting(
        "capture.exposures",
        "--exposures",
        "PLAN",
        "Exposure times, e.g. 1ms,16ms; auto: two that follow the scene; auto:3: up to three, as the scene needs.",
    ),
]
GainOption = Annotated[
    str | None, setting("capture.gain", "--gain", "X", "Analogue gain of the exposures, linear; 1: none.")
]
ProfileOption = Annotated[
    str | None,
    typer.Option("--profile", metavar="FILE", help="The camera's profile, as livemef calibrate made it."),
]
NoCorrectOption = Annotated[
    bool, typer.Option("--no-correct", help="Leave the pixels as the camera made them, whatever the profile says.")
]
ModelOption = Annotated[
    str | None,
    setting("runtime.model", "--model", "NAME|FILE", "The lightness network: a shipped one, or an ONNX file."),
]
DeviceOption = Annotated[str | None, setting("runtime.device", "--device", "auto|cpu|cuda", "What to compute on.")]
ThreadsOption = Annotated[
    int | None,
    setting("runtime.threads", "--threads", "N", "Threads for the fusion; 0: all cores this process may use."),
]
GammaOption = Annotated[
    str | None, setting("fusion.gamma", "--gamma", "X|adaptive", "Gamma compensation of the fused lightness.")
]
ChromaOption = Annotated[
    str | None,
    setting("fusion.chroma", "--chroma", "select|weighted", "How the colours of the exposures are joined."),
]
MotionOption = Annotated[
    str | None,
    setting(
        "fusion.motion",
        "--motion",
        "off|global|full",
        "Compensation of motion between the exposures.",
        f"{default_of('fusion.motion')}; pictures on disk: {default_of('stills.motion')}",
    ),
]
NetworkLinesOption = Annotated[
    str | None,
    setting(
        "fusion.network_lines",
        "--network-lines",
        "full|N",
        "Lines of the picture that the network sees.",
        f"{default_of('fusion.network_lines')}; pictures on disk: {_defaults()['stills.network_lines'] or 'full'}",
    ),
]
