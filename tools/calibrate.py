"""`livemef calibrate`: one verb a measurement. Each puts its section into the camera's profile and draws a picture."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer

from calibration import delay as delay_of
from calibration.drawing import Picture
from calibration.errors import CalibrationError
from calibration.profile import load_profile, new_profile, profile_name, save_profile
from capture.cameras.base import CameraIdentity, open_camera
from capture.pictures import write_picture
from tools.exits import DONE
from tools.options import JsonOption

CameraOption = Annotated[
    str, typer.Option("--camera", metavar="URI|DIR", help="What to measure on: a camera, or a folder taken with it.")
]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--profile",
        metavar="FILE",
        help="The profile to make or add to; by default in this folder, named after the camera. The picture of the "
        "result is put beside it.",
    ),
]
FramesOption = Annotated[int, typer.Option("--frames", min=2, max=256, help="Frames that are averaged at a time.")]

application = typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})


@application.callback()
def _calibrate() -> None:
    """Find out what is true of a camera, for its profile; docs/calibration.md tells how each thing is measured."""


class Result:
    """A camera's profile on disk: read, given a section, written, with a picture of the result beside it."""

    def __init__(self, path: Path | None, identity: CameraIdentity, section: str) -> None:
        """Raises CalibrationError if the file is a profile of another camera or cannot be read."""
        self._path = path or Path(profile_name(identity))
        self._section = section
        self.profile = load_profile(self._path) if self._path.exists() else new_profile(identity)
        if self.profile.identity != identity:
            raise CalibrationError(
                f"profile {self._path}: is of {self.profile.identity}, but this is {identity}: name another file"
            )

    def store(self, section: Any, picture: Picture, **others: Any) -> Path:
        """Put the section in, write profile and picture; the result is where the picture is."""
        picture_path = self._path.with_name(f"{self._path.stem}-{self._section}.png")
        write_picture(picture_path, picture)
        self.profile = self.profile.with_section(**{self._section: section}, **others)
        save_profile(self._path, self.profile)
        return picture_path

    def tell(self, values: Mapping[str, Any], text: str, picture: Path, as_json: bool) -> int:
        """Print the result for a program or a person."""
        if as_json:
            print(json.dumps(dict(values) | {"profile": str(self._path), "picture": str(picture)}))
        else:
            print(f"{text}\n{self._path}: {self._section} written; picture {picture}")
        return DONE


def _values(section: Any, *left_out: str) -> dict[str, Any]:
    return {name: value for name, value in dataclasses.asdict(section).items() if name not in left_out}


@application.command("delay")
def delay_command(camera: CameraOption = "sim://", output: OutputOption = None, as_json: JsonOption = False) -> int:
    """Measure after how many frames a request for exposure time and gain takes effect."""
    with closing(open_camera(_uri(camera))) as opened:
        result = Result(output, opened.info.identity, "delay")
        section, trial = delay_of.measure_delay(opened)
    picture = result.store(section, delay_of.draw(section, trial))
    text = (
        f"exposure delay {section.exposure_delay}, gain delay {section.gain_delay} frames "
        f"({section.agreeing} of {section.trials} measurements; steps {section.separation:g} times their spread)"
    )
    return result.tell(_values(section), text, picture, as_json)


def _uri(camera: str) -> str:
    """Raises CalibrationError for a folder."""
    if "://" not in camera:
        raise CalibrationError(
            f"{camera}: a folder cannot be asked for an exposure: name a camera, for instance sim://"
        )
    return camera
