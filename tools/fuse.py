"""`livemef fuse`: pictures of a scene at different exposures become one picture; a folder of scenes, scene by scene."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from livemef.calibration.correction import correction_in_force
from livemef.capture.files.embedding import Embedded
from livemef.capture.files.image_io import MAX_PIXELS, PICTURE_SUFFIXES, write_picture
from livemef.capture.files.kinds import OTHER_SUFFIXES
from livemef.capture.files.output_profile import OutputProfile, output_profile
from livemef.capture.frame import Pixels
from livemef.fusion.camera_settings import settings_for
from livemef.fusion.correction import CameraCorrection, srgb_response
from livemef.fusion.fuser import Fuser
from livemef.fusion.motion.compensation import MotionReport
from livemef.fusion.open_fuser import open_fuser
from livemef.fusion.picture_correction import PictureCorrection
from livemef.tools.config.schema import Config
from livemef.tools.config.sources import load_config
from livemef.tools.config.text import print_config
from livemef.tools.exits import DONE, EXPECTED, SURROUNDINGS, UserError, explain, printable, visible
from livemef.tools.fuse_video import FootageOptions, fuse_video, is_footage
from livemef.tools.fused_metadata import Checksums, checksums, fused_metadata
from livemef.tools.options import (
    ChromaOption,
    ConfigOption,
    DeviceOption,
    GammaOption,
    JsonOption,
    ModelOption,
    MotionOption,
    NetworkLinesOption,
    PrintConfigOption,
    ProfileOption,
    ThreadsOption,
)
from livemef.tools.progress import progress_bar, progress_printer
from livemef.tools.scenes import Scene, find_scenes, read_scene, without_blank

SCENE_FAULTS: tuple[type[Exception], ...] = (*EXPECTED, OSError, MemoryError)


@dataclass(frozen=True)
class Task:
    """A scene, and the file that its fused picture goes to."""

    scene: Scene
    output: Path


@dataclass(frozen=True)
class Treatment:
    """How scenes are read and written. max_pixels: more are refused. correction: by the camera's profile, before they
    are fused. profile: colour space of the fused pictures.
    """

    max_pixels: int = MAX_PIXELS
    correction: CameraCorrection | None = None
    profile: OutputProfile = field(default_factory=lambda: output_profile("srgb"))

    @cached_property
    def _pictures(self) -> PictureCorrection | None:
        return None if self.correction is None else PictureCorrection(self.correction)

    def corrected(self, pixels: Sequence[Pixels]) -> Sequence[Pixels]:
        """The exposures as they are to be fused. Raises FusionError for a size that the profile is not of."""
        return pixels if self._pictures is None else [self._pictures.apply(one) for one in pixels]

    def metadata(self, files: Sequence[Path], sums: Checksums, fuser: Fuser) -> Embedded:
        """What is written into the picture of this scene beside its pixels."""
        applied = () if self.correction is None else self.correction.applied
        return fused_metadata(files, sums, fuser, self.profile, applied)


AS_THEY_ARE = Treatment()


def _picture_name(path: Path) -> bool:
    return path.suffix.lower() in PICTURE_SUFFIXES


def _refuse_unknown_suffix(path: Path) -> None:
    if not _picture_name(path):
        known = ", ".join(sorted(PICTURE_SUFFIXES))
        what = f"'{path.suffix}' names no picture format" if path.suffix else "names no picture format"
        raise UserError(f"-o {path}: {what}: its name must end in one of {known}")


def _refuse_missing(inputs: Sequence[Path]) -> None:
    for path in inputs:
        if not path.exists():
            raise UserError(f"{path}: no such file or folder")


def _one_picture(inputs: Sequence[Path], output: Path) -> tuple[Task, ...]:
    if output.is_dir():
        raise UserError(f"-o {output}: is a folder; name the picture to write, for instance {output}/fused.png")
    _refuse_unknown_suffix(output)
    if not output.parent.is_dir():
        raise UserError(f"-o {output}: there is no folder {output.parent}; make it first")
    if any(output.exists() and output.samefile(path) for path in inputs):
        raise UserError(f"-o {output}: is one of the exposures; choose another name")
    return (Task(Scene(output.stem, tuple(inputs)), output),)


def _folder_of_scenes(folder: Path, output: Path, suffix: str) -> tuple[Task, ...]:
    scenes = find_scenes(folder)
    if len(scenes) == 1 and _picture_name(output) and not output.is_dir():
        return _one_picture(scenes[0].pictures, output)
    if output.exists() and not output.is_dir():
        raise UserError(f"-o {output}: is a file; for a folder of scenes name a folder")
    if not output.exists() and (_picture_name(output) or output.suffix.lower() in OTHER_SUFFIXES):
        pictures = f"{len(scenes)} pictures" if len(scenes) > 1 else "a picture in a folder"
        raise UserError(f"-o {output}: names one file, but {folder} gives {pictures}: name a folder, without suffix")
    if output.resolve() in {folder.resolve(), *(scene.pictures[0].parent.resolve() for scene in scenes)}:
        raise UserError(
            f"-o {output}: holds pictures that are read as exposures; name a new folder, best outside of {folder}"
        )
    return tuple(Task(scene, output / f"{scene.name}{suffix}") for scene in scenes)


def plan_tasks(inputs: Sequence[Path], output: Path, suffix: str) -> tuple[Task, ...]:
    """What is to be fused, and where to: pictures of one scene, or one folder. Raises UserError."""
    _refuse_missing(inputs)
    folders = [path for path in inputs if path.is_dir()]
    if len(inputs) == 1 and folders:
        return _folder_of_scenes(inputs[0], output, suffix)
    if folders:
        raise UserError(f"{folders[0]} is a folder: give two pictures or more, or one folder and nothing else")
    if len(inputs) < 2:
        raise UserError(f"only {inputs[0]} was given: a scene needs two pictures or more of different exposure")
    return _one_picture(inputs, output)


def _suffix_of(format_name: str) -> str:
    suffix = "." + format_name.lower().lstrip(".")
    if suffix not in PICTURE_SUFFIXES:
        known = ", ".join(sorted(name.lstrip(".") for name in PICTURE_SUFFIXES))
        raise UserError(f"--format {format_name}: not a picture format: use one of {known}")
    return suffix


def _open_fuser(config: Config, correction: CameraCorrection | None) -> Fuser:
    stills, runtime = config.stills, config.runtime
    settings = settings_for(config.fusion, None if correction is None else srgb_response())
    settings = dataclasses.replace(settings, network_lines=stills.network_lines, motion=stills.motion)
    return open_fuser(settings, runtime.model, runtime.device, runtime.threads or None, progress_printer())


def fuse_task(fuser: Fuser, task: Task, treatment: Treatment = AS_THEY_ARE) -> dict[str, Any]:
    """Read, fuse and write one scene; returns the outcome as JSON has it.

    Raises UserError, CaptureError or FusionError for a scene that cannot be used.
    """
    exposures = without_blank(read_scene(task.scene, treatment.max_pixels))
    started = time.perf_counter()
    pixels = treatment.corrected(exposures.pixels)
    fused = fuser.fuse(pixels)
    milliseconds = (time.perf_counter() - started) * 1e3
    task.output.parent.mkdir(parents=True, exist_ok=True)
    sums = checksums(exposures.files)
    embedded = treatment.metadata(exposures.files, sums, fuser)
    write_picture(task.output, treatment.profile.convert(fused.pixels), embedded=embedded)
    height, width = fused.pixels.shape[:2]
    names = [printable(name) for name in exposures.names]
    return {
        "scene": printable(task.scene.name),
        "output": printable(str(task.output)),
        "size": [width, height],
        "dtype": str(exposures.pixels[0].dtype),
        "exposures": names,
        "sources_sha256": [digest for _, digest in sums],
        "colour_space": treatment.profile.name,
        "converted_from": list(exposures.converted_from),
        "warnings": [printable(note) for note in exposures.notes],
        "fuse_ms": round(milliseconds, 3),
        "stages_ms": {stage: round(value, 3) for stage, value in fused.stages_ms.items()},
        "motion": _described(fused.motion, names),
    }


def _described(motion: MotionReport | None, names: Sequence[str]) -> dict[str, Any] | None:
    if motion is None:
        return None
    shift = [round(pixels, 2) for pixels in motion.shift]
    return {"reference": names[motion.reference], "share": round(motion.share, 4), "shift_px": shift}


def _outcomes(fuser: Fuser, tasks: Sequence[Task], treatment: Treatment, keep: bool) -> Iterator[dict[str, Any]]:
    for task in tasks:
        if keep and task.output.exists():
            yield {"scene": printable(task.scene.name), "output": printable(str(task.output)), "skipped": "exists"}
            continue
        try:
            yield fuse_task(fuser, task, treatment)
        except SCENE_FAULTS as error:
            code, line = explain(error)
            if code != SURROUNDINGS:
                raise
            yield {"scene": printable(task.scene.name), "error": printable(line)}


def _describe(outcome: dict[str, Any]) -> str:
    return visible(_outcome_line(outcome))


def _outcome_line(outcome: dict[str, Any]) -> str:
    if "error" in outcome:
        return f"{outcome['scene']}: {outcome['error']}"
    if "skipped" in outcome:
        return f"{outcome['output']}: exists, left as it is"
    width, height = outcome["size"]
    order = " < ".join(outcome["exposures"])
    converted = "".join(f", {name} converted to sRGB" for name in outcome["converted_from"])
    return f"{outcome['output']}: {width}x{height}, {order}{converted}, {outcome['fuse_ms']:.0f} ms"


def _warn(outcome: dict[str, Any]) -> None:
    """What is odd about a scene's pictures, on stderr."""
    errors = Console(stderr=True)
    for line in outcome.get("warnings", ()):
        text = visible(f"livemef: {outcome['scene']}: {line}")
        errors.print(text, style="yellow", markup=False, highlight=False, soft_wrap=True)


def _fuse_all(fuser: Fuser, tasks: Sequence[Task], json_lines: bool, treatment: Treatment, keep: bool) -> int:
    """Fuse every scene; a bad one is reported and the others go on. Returns how many were bad."""
    bad, skipped = [], 0
    with progress_bar() as progress:
        bar = progress.add_task("fusing", total=len(tasks))
        for outcome in _outcomes(fuser, tasks, treatment, keep):
            progress.advance(bar)
            skipped += "skipped" in outcome
            if "error" in outcome:
                bad.append(outcome)
            if json_lines:
                print(json.dumps(outcome), flush=True)
            elif "error" not in outcome:
                print(_describe(outcome), flush=True)
            _warn(outcome)
    if json_lines:
        counts = {"scenes": len(tasks), "fused": len(tasks) - len(bad) - skipped, "failed": len(bad)}
        print(json.dumps({**counts, "skipped": skipped} if keep else counts))
    errors = Console(stderr=True)
    for outcome in bad:
        errors.print(f"livemef: {_describe(outcome)}", style="red", markup=False, highlight=False, soft_wrap=True)
    return len(bad)


def _single_line(fuser: Fuser, task: Task, json_lines: bool, treatment: Treatment) -> None:
    outcome = fuse_task(fuser, task, treatment)
    print(json.dumps(outcome) if json_lines else _describe(outcome))
    _warn(outcome)


def fuse_command(
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="UNDER OVER | DIR | CLIP", help="Pictures of one scene, a folder of scenes, or footage."
        ),
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The picture, or the folder, to write.")] = None,
    picture_format: Annotated[
        str, typer.Option("--format", metavar="png|tiff|jpg|webp", help="Format of the pictures of a folder of scenes.")
    ] = "png",
    exposures: Annotated[
        int | None, typer.Option("--exposures", min=2, max=8, help="Footage: how many exposures alternate; 2.")
    ] = None,
    ev: Annotated[
        str | None, typer.Option("--ev", metavar="STOPS", help="Footage: stops between neighbouring exposures: 3; 2,3.")
    ] = None,
    order: Annotated[
        str | None, typer.Option("--order", metavar="1,0", help="Footage: places of a cycle's frames, 0 = darkest.")
    ] = None,
    fps: Annotated[float | None, typer.Option("--fps", help="Footage: frames a second, if not as stored.")] = None,
    no_clobber: Annotated[
        bool, typer.Option("--no-clobber", help="Never replace a picture that exists; a folder's other scenes go on.")
    ] = False,
    max_megapixels: Annotated[
        float, typer.Option("--max-megapixels", min=0.001, help="Refuse pictures with more pixels before decoding.")
    ] = MAX_PIXELS / 1e6,
    icc: Annotated[
        str,
        typer.Option("--icc", metavar="srgb|adobe-rgb|l-star|FILE", help="Colour space of what is written."),
    ] = "srgb",
    profile: ProfileOption = None,
    gamma: GammaOption = None,
    chroma: ChromaOption = None,
    motion: MotionOption = None,
    network_lines: NetworkLinesOption = None,
    model: ModelOption = None,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    config: ConfigOption = None,
    show_config: PrintConfigOption = False,
    json_lines: JsonOption = False,
) -> int:
    """Fuse pictures of one scene at different exposures into one, or a folder of scenes, or a recording.

    PNG, TIFF, JPEG, WebP and AVIF, 8 or 16 bits; 16 bits are kept in PNG and TIFF. Camera raw files and HEIC need an
    extra, which is named when one is met. Colour profiles are converted to sRGB; the output is sRGB, or as --icc says.
    It keeps the camera's EXIF as far as the exposures agree, and names them with their SHA-256 in its XMP.
    --profile corrects the exposures by what the camera's profile has measured.
    The order, dark to bright, is found from EXIF (exposure time, ISO, aperture), else from brightness. Hand-held, or
    with people in it: --motion full.

    Examples: livemef fuse under.jpg over.jpg -o fused.png; livemef fuse SCENES -o FUSED --format tiff

    Footage that alternates its exposures (one video, or with --exposures, --ev or --order a folder of numbered frames)
    is fused as livemef run does it live, into a video or a folder: livemef fuse CLIP.mp4 --ev 3 -o OUT.mp4
    """
    footage = FootageOptions(exposures, ev, order, fps)
    from_video = is_footage(inputs or [], footage) if inputs or footage.given else False
    flags = {
        "fusion.motion": motion if from_video else None,
        "fusion.network_lines": network_lines if from_video else None,
        "fusion.gamma": gamma,
        "fusion.chroma": chroma,
        "stills.motion": motion,
        "stills.network_lines": network_lines,
        "runtime.model": model,
        "runtime.device": device,
        "runtime.threads": threads,
    }
    loaded = load_config(config, flags)
    if show_config:
        print_config(loaded)
        return DONE
    if not inputs:
        raise UserError("nothing to fuse: livemef fuse UNDER OVER -o OUT, or livemef fuse DIR -o OUTDIR")
    if output is None:
        raise UserError("where to? give -o FILE, or -o DIR for a folder of scenes")
    correction = correction_in_force(profile or "")
    if from_video:
        return fuse_video(loaded.config, inputs[0], footage, output, _suffix_of(picture_format), json_lines, correction)
    tasks = plan_tasks(inputs, output, _suffix_of(picture_format))
    treatment = Treatment(round(max_megapixels * 1e6), correction, output_profile(icc))
    if len(tasks) == 1:
        if no_clobber and tasks[0].output.exists():
            raise UserError(f"-o {tasks[0].output}: exists, and --no-clobber keeps what exists; choose another name")
        _single_line(_open_fuser(loaded.config, correction), tasks[0], json_lines, treatment)
        return DONE
    fuser = _open_fuser(loaded.config, correction)
    return SURROUNDINGS if _fuse_all(fuser, tasks, json_lines, treatment, no_clobber) else DONE
