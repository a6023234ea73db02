"""`livemef cameras`: lists cameras with what each accepts, and whether its exposure can alternate per frame."""

from __future__ import annotations

import json
import subprocess
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from livemef.capture.bracketing.plan import describe
from livemef.capture.frame import Exposure
from livemef.tools.exits import DONE, SURROUNDINGS
from livemef.tools.options import JsonOption
from livemef.tools.remedies import as_typed_here
from livemef.tools.safe_start import module_command

KINDS = ("csi", "v4l2", "argus")
LIMIT_S = 40.0
ALTERNATES = {True: "[green]yes[/]", False: "[red]no[/]", None: "[yellow]not known[/]"}

UrisArgument = Annotated[list[str] | None, typer.Argument(metavar="URI", help="Only these; also sim://, file://DIR.")]


def _ask(what: str, of: str, limit_s: float = LIMIT_S) -> dict[str, Any]:
    command = module_command("livemef.tools.doctor.cameras", what, of)
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=limit_s)
        answer: dict[str, Any] = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return {"problem": f"no answer within {limit_s:.0f} s"}
    except json.JSONDecodeError:
        last = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
        return {"problem": f"its software failed: {last}"}
    return answer


def _found() -> tuple[list[dict[str, Any]], list[str]]:
    """The cameras of all kinds, and a note for each kind that could not be searched."""
    cameras, notes = [], []
    for kind in KINDS:
        answer = _ask("find", kind)
        cameras += answer.get("cameras", [])
        notes += [as_typed_here(answer["problem"])] if "problem" in answer else []
    return cameras, notes


def _tried(camera: dict[str, Any]) -> dict[str, Any]:
    """The camera with the result of opening it. Call it for one camera at a time: USB cameras share their bus."""
    if camera["problem"]:
        return camera
    answer = _ask("try", camera["uri"])
    if "problem" in answer:
        answer = answer | {"problem": as_typed_here(answer["problem"])}
    return {**camera, "name": answer.get("info", {}).get("name") or camera["name"], **answer}


def _row(camera: dict[str, Any]) -> tuple[str, str, str]:
    offers = f"\n[dim]{escape(', '.join(camera['modes']))}[/]" if camera["modes"] else ""
    name = escape(f"{camera['uri']}\n{camera['name']}")
    if camera["problem"]:
        return name, "[red]cannot be used[/]", escape(camera["problem"]) + offers
    info, limits = camera["info"], camera["info"]["limits"]
    low, high = (describe(Exposure(limits[end])) for end in ("exposure_min_us", "exposure_max_us"))
    lines = [
        f"{info['width']}x{info['height']} {info['dtype']} at {info['fps']:.4g} fps, exposure {low} to {high}, "
        f"gain {limits['gain_min']:g} to {limits['gain_max']:g}"
    ]
    if info["automatic"]:
        lines.append(f"cannot be switched off: {', '.join(info['automatic'])}")
    delay = camera["exposure_delay"]
    after = "" if delay is None else f" (a request reaches frame {delay + 1} after it)"
    lines.append(f"exposure can alternate per frame: {ALTERNATES[camera['alternates']]}: {camera['status']}{after}")
    return name, "[green]ok[/]", "\n".join(lines) + offers


def cameras_command(uris: UrisArgument = None, json_lines: JsonOption = False) -> int:
    """List the cameras that are here: exposure range, sizes, rates, and whether the exposure can alternate per frame.

    Each is opened, and its exposure alternated, which takes some seconds. Ends with 2 if a camera cannot be used.

    Example: livemef cameras v4l2:///dev/video0
    """
    found, notes = (
        _found() if not uris else ([{"uri": uri, "name": "", "modes": [], "problem": ""} for uri in uris], [])
    )
    cameras = [_tried(camera) for camera in found]
    if json_lines:
        for camera in cameras:
            print(json.dumps(camera))
    else:
        console = Console()
        table = Table(box=None, padding=(0, 2, 1, 0), show_header=False)
        for camera in cameras:
            table.add_row(*_row(camera))
        console.print(table if cameras else "No camera is here. [dim]sim:// is one made of arithmetic.[/]")
        for note in notes:
            console.print(f"[dim]{escape(note)}[/]")
    return SURROUNDINGS if any(camera["problem"] for camera in cameras) else DONE
