"""`livemef shoot`: archival records of objects, one bag each, from a camera that brackets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from livemef.tools.counted import counted
from livemef.tools.exits import DONE, SURROUNDINGS, UserError, visible
from livemef.tools.field.asking import close_command, open_sessions, take_command, target_command
from livemef.tools.field.bag import bag_problem
from livemef.tools.field.deliver import deliver_command
from livemef.tools.field.imports import import_command
from livemef.tools.field.ledger import accept_ledger, read_ledger
from livemef.tools.field.opening import open_command
from livemef.tools.field.outlet import export_command
from livemef.tools.field.project import FILE, load_project, template
from livemef.tools.field.session import ABANDONED, LEDGER, OBJECTS, TARGETS, is_locked, sessions_of, utc_now
from livemef.tools.field.sidecar import sidecar_problem
from livemef.tools.options import JsonOption
from livemef.tools.verb_group import HELP_OPTIONS

application = typer.Typer(add_completion=False, context_settings=HELP_OPTIONS)
application.command("open")(open_command)
application.command("target")(target_command)
application.command("take")(take_command)
application.command("close")(close_command)
application.command("import")(import_command)
application.command("deliver")(deliver_command)
application.command("export")(export_command)
ProjectArgument = Annotated[Path, typer.Argument(metavar="PROJECT", help="The project's folder.")]


@application.callback()
def _shoot() -> None:
    """Archival records of objects, one bag each, from a camera that brackets; docs/field-capture.md."""


@application.command("new")
def new_command(project: Annotated[Path, typer.Argument(metavar="PROJECT", help="The folder to make.")]) -> int:
    """Make a project: a folder with an annotated project.toml to be edited.

    Example: livemef shoot new archive-2026
    """
    if project.exists():
        raise UserError(f"{project}: is there already")
    if not project.resolve().parent.is_dir():
        raise UserError(f"{project}: there is no folder {project.resolve().parent}; make it first")
    project.mkdir()
    (project / FILE).write_text(template(), encoding="utf-8")
    print(visible(f"{project / FILE}: edit it, then livemef shoot open {project}"))
    return DONE


@application.command("status")
def status_command(project: ProjectArgument, as_json: JsonOption = False) -> int:
    """List the sessions of a project, what is in them, and how the open one does.

    Example: livemef shoot status archive-2026
    """
    load_project(project)
    at_work = {state["session"]: state for state in open_sessions().values()}
    for folder in sessions_of(project):
        row = _session_row(folder, at_work.get(folder.name))
        print(json.dumps(row, ensure_ascii=False) if as_json else _in_words(row))
    return DONE


def _session_row(folder: Path, at_work: dict[str, Any] | None) -> dict[str, Any]:
    fault = _ledger_fault(folder)
    events = [] if fault else _events(folder)
    copied = {(event["kind"], event["folder"]) for event in events if event["event"] == "copied"}
    stored = {(event["kind"], event["folder"]) for event in events if event["event"] == "stored"}
    closed = any(event["event"] == "closed" for event in events)
    abandoned = folder / ABANDONED
    return {
        "session": folder.name,
        "objects": len(_bags(folder / OBJECTS)),
        "targets": len(_bags(folder / TARGETS)),
        "copied": len(stored & copied),
        "abandoned": len(list(abandoned.iterdir())) if abandoned.is_dir() else 0,
        "state": "open" if is_locked(folder) else "closed" if closed else "left by a crash",
        "fault": fault,
        "now": at_work,
    }


def _in_words(row: dict[str, Any]) -> str:
    text = f"{row['session']}: {counted(row['objects'], 'object')}, {counted(row['targets'], 'target')}, {row['state']}"
    if row["copied"]:
        text += f", {row['copied']} with a second copy"
    if row["abandoned"]:
        text += f", {row['abandoned']} folders in {ABANDONED} that were never finished"
    if row["fault"]:
        text += f"; {row['fault']}"
    now = row["now"]
    if now is None:
        return text
    notes = [*(f"NOT READY: {reason}" for reason in now["red"]), *now["warnings"]]
    if now["objects_left"] is not None:
        notes.append(f"space for {counted(now['objects_left'], 'object')}")
    return "\n  ".join([text, *notes])


def _events(folder: Path) -> list[dict[str, Any]]:
    return read_ledger(folder / LEDGER) if (folder / LEDGER).exists() else []


def _bags(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


@application.command("verify")
def verify_command(
    path: Annotated[Path, typer.Argument(metavar="PROJECT|BAG", help="A project, or one object's bag.")],
    fast: Annotated[bool, typer.Option("--fast", help="Names and sizes alone, without reading the files.")] = False,
    accept: Annotated[
        bool, typer.Option("--accept", help="Enter into each broken ledger that you have looked at it; then go on.")
    ] = False,
) -> int:
    """Check every bag of a project against its checksums, sidecars against their schema, ledgers against their chain.

    Example: livemef shoot verify archive-2026 --fast
    """
    if (path / "bagit.txt").exists():
        bags, faults = [path], []
    else:
        operator = load_project(path).session.operator
        sessions = sessions_of(path)
        bags = [bag for session in sessions for kind in (OBJECTS, TARGETS) for bag in _bags(session / kind)]
        if accept:
            for session in sessions:
                _accept(session, operator)
        faults = [fault for session in sessions if (fault := _ledger_fault(session))]
    faults += [f"{bag}: {problem}" for bag in bags if (problem := _problem(bag, fast))]
    for fault in faults:
        print(fault)
    if faults:
        return SURROUNDINGS
    print(f"{visible(str(path))}: {counted(len(bags), 'bag')} valid")
    return DONE


def _problem(bag: Path, fast: bool) -> str:
    """Of a bag, and of the sidecar of an object's or target's bag."""
    problem = bag_problem(bag, fast)
    return problem if problem or fast or bag.parent.name not in (OBJECTS, TARGETS) else sidecar_problem(bag)


def _accept(session: Path, operator: str) -> None:
    if not (session / LEDGER).exists():
        return
    if is_locked(session):
        raise UserError(f"{session}: is open; close it first")
    if count := accept_ledger(session / LEDGER, utc_now(), operator):
        print(f"{session / LEDGER}: {count} broken places accepted")


def _ledger_fault(session: Path) -> str:
    try:
        _events(session)
    except UserError as error:
        return str(error)
    return ""
