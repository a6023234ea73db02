"""Options that several verbs share, so that they are spelled and explained the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
    typer.Option("--camera", metavar="URI", help="Where frames come from: sim://, csi://0, v4l2:///dev/video0, ..."),
]
ExposuresOption = Annotated[
    str | None,
    typer.Option("--exposures", metavar="PLAN", help="Exposure times, e.g. 1ms,16ms; auto: they follow the scene."),
]
GainOption = Annotated[
    str | None, typer.Option("--gain", metavar="X", help="Analogue gain of the exposures, linear; 1: none.")
]
ProfileOption = Annotated[
    str | None,
    typer.Option("--profile", metavar="FILE", help="The camera's profile, as livemef calibrate made it."),
]
ModelOption = Annotated[
    str | None,
    typer.Option("--model", metavar="NAME|FILE", help="The lightness network: a shipped one, or an ONNX file."),
]
DeviceOption = Annotated[str | None, typer.Option("--device", metavar="auto|cpu|cuda", help="What to compute on.")]
ThreadsOption = Annotated[
    int | None,
    typer.Option("--threads", metavar="N", help="Threads for the fusion; 0: all cores this process may use."),
]
GammaOption = Annotated[
    str | None, typer.Option("--gamma", metavar="X|adaptive", help="Gamma compensation of the fused lightness.")
]
ChromaOption = Annotated[
    str | None, typer.Option("--chroma", metavar="select|weighted", help="How the colours of the exposures are joined.")
]
MotionOption = Annotated[
    str | None,
    typer.Option("--motion", metavar="off|global|full", help="What is done about exposures of different moments."),
]
NetworkLinesOption = Annotated[
    str | None,
    typer.Option("--network-lines", metavar="full|N", help="Lines of the picture that the network sees."),
]
