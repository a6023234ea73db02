"""`livemef shoot take`, `target`, `close`: ask the session that is open, from another terminal or a script."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from livemef.fusion.stream.local_runs import PREFIX
from livemef.tools.exits import DONE, UserError
from livemef.tools.field.link import NAME, ask
from livemef.tools.options import JsonOption

STATUS_LIMIT_S = 5.0
ProjectOption = Annotated[
    Path | None, typer.Option("--project", metavar="PROJECT", help="Needed where several sessions are open.")
]


def take_command(
    object_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="The object's id; none: the last one.")
    ] = None,
    part: Annotated[bool, typer.Option("--part", help="The next part of the object.")] = False,
    retake: Annotated[bool, typer.Option("--retake", help="Once more; what is there stays.")] = False,
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="Goes into the object's record.")] = "",
    code: Annotated[bool, typer.Option("--code", help="The id is in a code (QR, ...) in the picture.")] = False,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> int:
    """Take an object in the session that is open.

    Example: livemef shoot take KR-2026-000123
    """
    if object_id is None and not (part or retake or code):
        raise UserError("which object? give its id, --code, or --part or --retake for the last one")
    request = {"do": "take", "id": object_id, "part": part, "retake": retake, "note": note, "code": code}
    answer = ask(open_session_folder(project), request)
    warned = "".join(f"; warning: {warning}" for warning in answer["warnings"])
    _print(answer, f"{answer['object']}: stored in {answer['folder']} ({answer['seconds']:.1f} s){warned}", as_json)
    return DONE


def target_command(project: ProjectOption = None, as_json: JsonOption = False) -> int:
    """Take the target that lies in the object's place: it sets the scale and shows the quality.

    Example: livemef shoot target
    """
    answer = ask(open_session_folder(project), {"do": "target"})
    _print(answer, f"target {answer['name']}: {answer['badge']}", as_json)
    return DONE


def close_command(project: ProjectOption = None, as_json: JsonOption = False) -> int:
    """Close the session that is open, after what it is doing.

    Example: livemef shoot close
    """
    answer = ask(open_session_folder(project), {"do": "close"})
    _print(answer, "closing; the session's terminal says when it is done", as_json)
    return DONE


def _print(answer: Mapping[str, Any], text: str, as_json: bool) -> None:
    print(json.dumps(answer, ensure_ascii=False) if as_json else text)


def open_session_folder(project: Path | None) -> Path:
    """The runtime folder of the open session (of a project). Raises UserError if there is none, or more than one."""
    found = open_sessions()
    if project is not None:
        found = {folder: state for folder, state in found.items() if Path(state["project"]) == project.resolve()}
    if not found:
        where = f" in {project}" if project is not None else ""
        raise UserError(f"no session is open{where}: livemef shoot open PROJECT opens one")
    if len(found) > 1:
        names = ", ".join(sorted(state["project"] for state in found.values()))
        raise UserError(f"{len(found)} sessions are open ({names}): name one with --project")
    return next(iter(found))


def open_sessions() -> dict[Path, dict[str, Any]]:
    """Runtime folder and state of each session that this user has open on this machine."""
    bases = {Path(base) for base in (os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir()) if base}
    found = {}
    for door in sorted(door for base in bases for door in base.glob(f"{PREFIX}*/{NAME}")):
        try:
            if door.parent.lstat().st_uid == os.getuid():
                found[door.parent] = ask(door.parent, {"do": "status"}, STATUS_LIMIT_S)
        except (UserError, OSError):  # it has ended
            continue
    return found
