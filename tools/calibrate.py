"""`livemef calibrate`: one verb a measurement. Each writes its section of the camera's profile and draws a picture."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer

from livemef.calibration import colour_chart, flat_field, geometry, noise, response
from livemef.calibration import delay as delay_of
from livemef.calibration.drawing import Picture
from livemef.calibration.errors import CalibrationError
from livemef.calibration.profile import load_profile, new_profile, profile_name, save_profile
from livemef.calibration.source import CameraShots, Shots, open_shots
from livemef.capture.cameras.base import CameraIdentity
from livemef.capture.cameras.registry import open_camera
from livemef.capture.files.image_io import write_picture
from livemef.capture.uri import parse_uri
from livemef.tools.config.sources import load_config, named_camera
from livemef.tools.exits import DONE, printable, visible
from livemef.tools.options import JsonOption

CameraOption = Annotated[
    str | None,
    typer.Option("--camera", metavar="URI|DIR", help="What to measure on: a camera, or a folder taken with it."),
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
    """Measure a camera, for its profile. docs/calibration.md describes each measurement."""


class Result:
    """The camera's profile on disk, to which one section is added, and the picture of the result beside it."""

    def __init__(self, path: Path | None, identity: CameraIdentity, section: str) -> None:
        """Raises CalibrationError if the file is a profile of another camera or cannot be read."""
        self._path = path or Path(profile_name(identity))
        self._section = section
        self.profile = load_profile(self._path) if self._path.exists() else new_profile(identity)
        if self.profile.identity != identity:
            raise CalibrationError(
                f"profile {self._path}: is of {self.profile.identity}, but this is {identity}: name another file"
            )

    def store(self, section: Any, picture: Picture) -> Path:
        """Add the section, write profile and picture. Returns the picture's path. Raises LivemefError."""
        picture_path = self._path.with_name(f"{self._path.stem}-{self._section}.png")
        write_picture(picture_path, picture)
        self.profile = self.profile.with_section(**{self._section: section})
        save_profile(self._path, self.profile)
        return picture_path

    def report(self, values: Mapping[str, Any], text: str, picture: Path, as_json: bool) -> int:
        """Print the result as JSON or text. Returns the exit code."""
        if as_json:
            print(
                json.dumps(dict(values) | {"profile": printable(str(self._path)), "picture": printable(str(picture))})
            )
        else:
            print(f"{text}\n{visible(str(self._path))}: {self._section} written; picture {visible(str(picture))}")
        return DONE


def _values(section: Any, *left_out: str) -> dict[str, Any]:
    return {name: value for name, value in dataclasses.asdict(section).items() if name not in left_out}


@application.command("delay")
def delay_command(camera: CameraOption = None, output: OutputOption = None, as_json: JsonOption = False) -> int:
    """Measure after how many frames a request for exposure time and gain takes effect.

    Example: livemef calibrate delay --camera v4l2:///dev/video0
    """
    with closing(open_camera(_uri(_named(camera)))) as opened:
        result = Result(output, opened.info.identity, "delay")
        section, trial = delay_of.measure_delay(opened)
    picture = result.store(section, delay_of.draw(section, trial))
    text = (
        f"exposure delay {section.exposure_delay}, gain delay {section.gain_delay} frames "
        f"({section.agreeing} of {section.trials} measurements; steps {section.separation:g} times their spread)"
    )
    return result.report(_values(section), text, picture, as_json)


@application.command("response")
def response_command(
    camera: CameraOption = None,
    output: OutputOption = None,
    frames: FramesOption = 8,
    as_json: JsonOption = False,
) -> int:
    """Measure how much light each code stands for, the black level, and how long exposures really are.

    Point the camera at a still scene of many tones, some of them bright; or name a folder of exposures of one.

    Example: livemef calibrate response --camera csi://0 --frames 16
    """
    with closing(open_shots(_named(camera))) as shots:
        result = Result(output, shots.identity, "response")
        section, _ = response.measure_response(shots.sweep(frames))
    picture = result.store(section, response.draw(section))
    text = (
        f"response: squares of one light agree to {section.residual:.2%}; black level {section.black_level:.4f}; "
        f"every exposure {section.exposure_offset_us:+.1f} us"
    )
    return result.report(_values(section, "light"), text, picture, as_json)


@application.command("noise")
def noise_command(
    camera: CameraOption = None,
    output: OutputOption = None,
    frames: FramesOption = 16,
    as_json: JsonOption = False,
) -> int:
    """Measure read noise, gain and full well by photon transfer.

    Point the camera at something still and evenly lit; raw or linear pictures are best. A measured response is used.

    Example: livemef calibrate noise --camera csi://0
    """
    with closing(open_shots(_named(camera))) as shots:
        result = Result(output, shots.identity, "noise")
        section, points = noise.measure_noise(shots.sweep(frames), result.profile.response)
    picture = result.store(section, noise.draw(section, points))
    text = (
        f"green: read noise {section.read_noise_e[1]:.2f} e, full well {section.full_well_e[1]:.0f} e, "
        f"{section.codes_per_electron[1]:.3f} codes an electron, {section.dynamic_range_stops[1]:.1f} stops"
    )
    return result.report(_values(section), text, picture, as_json)


@application.command("flat")
def flat_command(
    camera: CameraOption = None,
    dark: Annotated[
        str | None,
        typer.Option(
            "--dark", metavar="URI|DIR", help="Where the lens is covered: asked for if it is the same camera."
        ),
    ] = None,
    output: OutputOption = None,
    frames: FramesOption = 32,
    as_json: JsonOption = False,
) -> int:
    """Measure how the light falls off towards the corners; with --dark also the dark level and the hot pixels.

    Point the camera, out of focus, at something evenly lit. A measured response is used.

    Example: livemef calibrate flat --camera csi://0 --dark lens-cap-on
    """
    with closing(open_shots(_named(camera))) as shots:
        result = Result(output, shots.identity, "flat")
        lit = shots.well_exposed(frames)
    unlit = None
    if dark is not None:
        if dark == camera and "://" in dark:
            typer.confirm("Cover the lens. Done?", default=True, abort=True, err=True)
        with closing(open_shots(dark)) as shots:
            unlit = shots.longest(frames)
        if unlit.mean.shape != lit.mean.shape or unlit.full_range != lit.full_range:
            raise CalibrationError(f"--dark {dark}: its pictures are not of the size and depth of --camera")
    section = flat_field.measure_flat(lit, unlit, result.profile.response)
    picture = result.store(section, flat_field.draw(section, *lit.mean.shape[:2]))
    lowest = min(min(row) for row in section.vignetting[1])
    text = f"light falls to {lowest:.1%} (green); {section.residual:.2%} uneven after correction"
    if unlit is not None:
        text += f"; dark level {section.dark_level:.5f}, {len(section.hot_pixels)} hot pixels"
    return result.report(_values(section, "vignetting") | {"lowest": lowest}, text, picture, as_json)


@application.command("colour")
def colour_command(
    camera: CameraOption = None,
    corners: Annotated[
        str | None,
        typer.Option(
            "--corners",
            metavar="X,Y,X,Y,X,Y,X,Y",
            help="Outer corners of the chart's patches, around, in pixels; without, the chart is looked for.",
        ),
    ] = None,
    output: OutputOption = None,
    frames: FramesOption = 16,
    as_json: JsonOption = False,
) -> int:
    """Measure a ColorChecker Classic: the colour correction matrix, and dE00 of every patch after it.

    Measured response and flat field are used: without them the matrix is as good as the camera is linear and even.

    Example: livemef calibrate colour --camera csi://0
    """
    places = _places(corners)
    with closing(open_shots(_named(camera))) as shots:
        result = Result(output, shots.identity, "colour")
        stack = shots.well_exposed(frames)
    section, chart = colour_chart.measure_colour(stack, result.profile.response, result.profile.flat, places)
    picture = result.store(section, colour_chart.draw(section, chart, stack))
    text = f"dE00 mean {section.de00_mean:.2f}, 90th percentile {section.de00_p90:.2f}, maximum {section.de00_max:.2f}"
    values = _values(section) | {"corners": chart.corners.round(1).tolist()}
    return result.report(values, text, picture, as_json)


@application.command("geometry")
def geometry_command(
    camera: CameraOption = None,
    second: Annotated[
        str | None,
        typer.Option("--second", metavar="URI|DIR", help="Another camera, or band, to be registered to the first."),
    ] = None,
    squares: Annotated[str, typer.Option("--board", metavar="COLUMNSxROWS", help="Squares of the board.")] = "8x6",
    print_board: Annotated[
        Path | None, typer.Option("--print-board", metavar="FILE", help="Write the board as a picture, and end.")
    ] = None,
    output: OutputOption = None,
    as_json: JsonOption = False,
) -> int:
    """Measure lens distortion with a ChArUco board; with --second, register another camera instead.

    Hold the board still in a dozen poses: tilted, near and far, into the corners. A folder: one picture a pose.

    Example: livemef calibrate geometry --camera csi://0 --board 8x6
    """
    size = _board_size(squares)
    if print_board is not None:
        write_picture(print_board, geometry.board_picture(size))
        return DONE
    finder = geometry.BoardFinder(size)
    with closing(open_shots(_named(camera))) as shots:
        width, height = shots.identity.width, shots.identity.height
        if second is not None:
            result = Result(output, shots.identity, "registration")
            return _register(result, shots, second, finder, as_json)
        result = Result(output, shots.identity, "geometry")
        live = isinstance(shots, CameraShots)
        frames = shots.frames()
        views = geometry.still_views(frames, finder, width) if live else geometry.all_views(frames, finder)
    section = geometry.measure_geometry(views, finder, width, height)
    picture = result.store(section, geometry.draw(section, views, width, height))
    k1, k2 = section.distortion[:2]
    text = f"{section.views} views, {section.rms_px:.3f} px RMS; k1 {k1:.4f}, k2 {k2:.4f}"
    return result.report(_values(section), text, picture, as_json)


def _register(result: Result, shots: Shots, second: str, finder: geometry.BoardFinder, as_json: bool) -> int:
    width, height = shots.identity.width, shots.identity.height
    live = isinstance(shots, CameraShots)
    with closing(open_shots(second)) as others:
        pairs = geometry.paired_views(shots.frames(), others.frames(), finder, live, width)
        section = geometry.measure_registration(pairs, str(others.identity))
    picture = result.store(section, geometry.draw_registration(section, pairs, width, height))
    text = f"{len(pairs)} views of both, {section.rms_px:.3f} px RMS"
    return result.report(_values(section), text, picture, as_json)


def _places(corners: str | None) -> list[tuple[float, float]] | None:
    """The four corners (x, y) in text such as "X,Y,X,Y,X,Y,X,Y". Raises CalibrationError."""
    if corners is None:
        return None
    try:
        numbers = [float(number) for number in corners.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 8:
        raise CalibrationError(f"--corners {corners}: expected eight numbers, x and y of four corners")
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _board_size(text: str) -> tuple[int, int]:
    """Columns and rows in text such as "8x6". Raises CalibrationError."""
    columns, _, rows = text.partition("x")
    if not (columns.isdecimal() and rows.isdecimal() and 3 <= int(columns) <= 14 and 3 <= int(rows) <= 14):
        raise CalibrationError(f"--board {text}: expected COLUMNSxROWS, from 3x3 to 14x14, for instance 8x6")
    return int(columns), int(rows)


def _named(camera: str | None) -> str:
    """--camera, else the configured camera. Raises UserError where there is neither."""
    return named_camera(load_config(None, {"capture.camera": camera}))


def _uri(camera: str) -> str:
    """`camera` if it is a URI. Raises CalibrationError for a folder, CaptureError for other text."""
    if "://" not in camera:
        if not Path(camera).is_dir():
            parse_uri(camera)  # raises, with what to write instead
        raise CalibrationError(
            f"{camera}: a folder cannot be asked for an exposure: name a camera, for instance sim://"
        )
    return camera
