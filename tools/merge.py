"""`livemef merge`: exposures of a still scene become one picture of linear light."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from livemef.calibration.correction import correction_of
from livemef.calibration.profile import load_profile
from livemef.capture.bracketing.plan import PlanError, parse_plan
from livemef.capture.files.bracket_folder import pictures_in
from livemef.capture.files.image_io import exif_exposures, read_picture
from livemef.capture.files.radiance import RADIANCE_SUFFIXES, write_radiance
from livemef.capture.frame import brightness
from livemef.fusion.correction import LINEAR, SRGB, CameraCorrection
from livemef.fusion.merge import LinearMerge, Merged
from livemef.tools.exits import DONE, UserError, printable, visible
from livemef.tools.options import JsonOption

SAME = 1.03
"""EXIF exposures closer than this are frames of one exposure."""
DOUBTFUL = 0.1
"""Relative difference of the exposures' ratio, as stated and as measured, that is worth a warning."""
MUCH = 0.02
"""Share of the picture that disagrees, from which a warning is due."""


def merge_command(
    pictures: Annotated[
        list[Path],
        typer.Argument(metavar="PICTURES | DIR", help="Two or more exposures of one still scene, or their folder."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="What to write: .exr, .hdr or .tif.")],
    exposures: Annotated[
        str | None,
        typer.Option("--exposures", metavar="PLAN", help="Exposure times, e.g. 1ms,16ms; else as EXIF says."),
    ] = None,
    ev: Annotated[
        float | None, typer.Option("--ev", min=0.1, max=10, help="Stops from each picture to the next brighter one.")
    ] = None,
    response: Annotated[
        str, typer.Option("--response", metavar="srgb|linear", help="What the codes are, where there is no profile.")
    ] = "srgb",
    profile: Annotated[
        Path | None,
        typer.Option("--profile", metavar="FILE", help="The camera's profile, as livemef calibrate made it."),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Merge exposures of a still scene into one picture of its linear light: not tone mapped, values may exceed 1.

    1.0 is white at the geometric mean of the exposures. Several frames of one exposure (by EXIF) are averaged. Nothing
    is aligned: camera and scene must stand still.

    Example: livemef merge dark.png middle.png bright.png --ev 2 -o scene.exr
    """
    if output.suffix.lower() not in RADIANCE_SUFFIXES:
        raise UserError(f"-o {output}: name a file that ends in {', '.join(sorted(RADIANCE_SUFFIXES))}")
    paths = _pictures(pictures)
    lights = _lights(paths, exposures, ev)
    merged = _merged(paths, lights, _correction(response, profile))
    stated = f"exposures {', '.join(f'{light:g}' for light in sorted(set(lights)))}; response {profile or response}"
    write_radiance(output, merged.light, f"livemef merge; 1.0 is white at their geometric mean; {stated}")
    report = _report(output, merged, len(paths))
    print(json.dumps(report) if as_json else _text(report))
    return DONE


def _pictures(given: Sequence[Path]) -> tuple[Path, ...]:
    paths = pictures_in(given[0]) if len(given) == 1 and given[0].is_dir() else tuple(given)
    if len(paths) < 2:
        raise UserError(f"{given[0]}: a merge needs two pictures or more of different exposure")
    return paths


def _lights(paths: Sequence[Path], plan: str | None, ev: float | None) -> tuple[float, ...]:
    """Exposure of each picture in `paths`, relative: given ones go to the pictures by their brightness."""
    if plan is None and ev is None:
        return _by_exif(paths)
    if plan is not None and ev is not None:
        raise UserError("--exposures and --ev: give one of them")
    levels = [brightness(read_picture(path)) for path in paths]
    order = sorted(range(len(paths)), key=levels.__getitem__)
    if ev is not None:
        given = [2 ** (ev * place) for place in range(len(paths))]
    else:
        given = [exposure.light for exposure in _parsed(str(plan))]
        if len(given) != len(paths):
            raise UserError(f"--exposures {plan}: {len(given)} exposures for {len(paths)} pictures")
    lights = [0.0] * len(paths)
    for place, light in zip(order, given, strict=True):
        lights[place] = light
    return tuple(lights)


def _parsed(plan: str) -> tuple[Any, ...]:
    try:
        return parse_plan(plan)
    except PlanError as error:
        raise UserError(f"--exposures: {error}") from None


def _by_exif(paths: Sequence[Path]) -> tuple[float, ...]:
    """Exposures as EXIF says, those that are nearly the same made one."""
    lights: list[float] = []
    for path, exposure in zip(paths, exif_exposures(paths), strict=True):
        if exposure is None:
            raise UserError(f"{path}: EXIF gives no exposure; give --exposures 1ms,4ms,16ms or --ev 2")
        same = [light for light in lights if 1 / SAME < light / exposure.light < SAME]
        lights.append(same[0] if same else exposure.light)
    if len(set(lights)) < 2:
        raise UserError("EXIF gives all pictures the same exposure; give --exposures 1ms,4ms,16ms or --ev 2")
    return tuple(lights)


def _correction(response: str, profile: Path | None) -> CameraCorrection:
    if profile is not None:
        return correction_of(load_profile(profile))
    known = {"srgb": SRGB, "linear": LINEAR}
    if response not in known:
        raise UserError(f"--response {response}: use srgb or linear, or the camera's --profile")
    return known[response]


def _merged(paths: Sequence[Path], lights: Sequence[float], correction: CameraCorrection) -> Merged:
    rising = sorted(set(lights))
    running = LinearMerge(rising, correction)
    sizes: dict[str, str] = {}
    for path, light in sorted(zip(paths, lights, strict=True), key=lambda pair: pair[1]):
        pixels = read_picture(path)
        sizes.setdefault(f"{pixels.shape[1]}x{pixels.shape[0]}", path.name)
        if len(sizes) > 1:
            (size, first), (other, _) = sizes.items()
            raise UserError(f"{path}: is {other}, {first} is {size}: pictures of one size are merged")
        running.add(rising.index(light), pixels)
    return running.result()


def _report(output: Path, merged: Merged, pictures: int) -> dict[str, Any]:
    height, width = merged.light.shape[:2]
    steps = [
        {
            "stated": round(step.stated, 4),
            "measured": None if math.isnan(step.measured) else round(step.measured, 4),
            "disagreeing": round(step.disagreeing, 4),
        }
        for step in merged.comparisons
    ]
    report = {
        "output": printable(str(output)),
        "size": [width, height],
        "pictures": pictures,
        "clipped": round(merged.clipped, 6),
    }
    return report | {"largest": round(float(merged.light.max()), 4), "steps": steps, "warnings": _warnings(merged)}


def _warnings(merged: Merged) -> list[str]:
    found = []
    for place, step in enumerate(merged.comparisons, 1):
        if abs(step.measured / step.stated - 1) > DOUBTFUL:
            found.append(
                f"exposure {place + 1} is stated as {step.stated:.3g} times exposure {place}, its light is "
                f"{step.measured:.3g} times: are the exposures right, and the response (--response, --profile)?"
            )
        if step.disagreeing > MUCH:
            found.append(
                f"exposures {place} and {place + 1} disagree in {step.disagreeing:.0%} of the picture: "
                "something moved, or the response is not what was assumed"
            )
    return found


def _text(report: dict[str, Any]) -> str:
    width, height = report["size"]
    done = (
        f"{report['output']}: {width}x{height}, {report['pictures']} pictures, light up to {report['largest']:.3g}, "
        f"{report['clipped']:.2%} clipped in the darkest"
    )
    return "\n".join([visible(done)] + [f"warning: {line}" for line in report["warnings"]])
