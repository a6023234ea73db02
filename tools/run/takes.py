"""Stills and recordings that are asked for over the API: starts their processes, and says how they go."""

from __future__ import annotations

import itertools
import os
import shutil
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from livemef.fusion.settings import FusionSettings
from livemef.tools.config.schema import Config
from livemef.tools.run.outcome import Outcome, problem
from livemef.tools.run.spawning import ChildSpec
from livemef.tools.run.supervisor import Supervisor
from livemef.tools.run.tasks import RecordJob, StillJob, record_main, still_main

RECORDER = "recorder"
MOST_STILLS = 2
"""Stills in work at a time."""
COUNTS = ("brackets", "seconds", "refused", "missed")
STILLS_KEPT = 16
"""Stills that are remembered; their files stay."""


def captures_folder(configured: str) -> Path:
    """Where stills and recordings go: as configured, else $XDG_DATA_HOME/livemef or ~/.local/share/livemef."""
    if configured:
        return Path(configured).expanduser()
    base = os.environ.get("XDG_DATA_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".local" / "share") / "livemef"


@dataclass(frozen=True)
class Given:
    """What of the pipeline a still or recording is made with, at that moment."""

    config: Config
    settings: FusionSettings
    response: tuple[tuple[float, ...], ...] | None


class Takes:
    """`ask` begins and ends them; `step`, called every turn, tells everybody what is new. source: of the exposures."""

    def __init__(
        self,
        supervisor: Supervisor,
        source: str,
        given: Callable[[], Given],
        event: Callable[..., None],
    ) -> None:
        self._supervisor, self._source, self._given, self._event = supervisor, source, given, event
        self._numbers = itertools.count(1)
        self.stills: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self.recording: dict[str, Any] | None = None

    def ask(self, do: str, asked: Mapping[str, Any]) -> Outcome:
        """Carry out "still", "record" or "stop_recording"."""
        try:
            if do == "still":
                return self._begin_still(int(asked["count"]), str(asked["format"]))
            return self._begin_recording(asked) if do == "record" else self._end_recording()
        except OSError as error:
            return problem(503, f"cannot be begun: {error.strerror}")

    def _begin_still(self, count: int, kind: str) -> Outcome:
        in_work = sum(still["state"] in ("taking", "fusing") for still in self.stills.values())
        if in_work >= MOST_STILLS:
            return problem(503, f"{in_work} stills are in work; try again when one is done")
        given = self._given()
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{next(self._numbers)}"
        folder = captures_folder(given.config.control.folder) / "stills" / name
        free = _free(folder, given.config)
        if free is not None:
            return free
        settings = replace(given.settings, network_lines=0)
        model, camera = given.config.runtime.model, given.config.publish.frame_id
        job = StillJob(self._source, folder, count, kind, settings, model, camera, given.response)
        self._supervisor.run_task(ChildSpec(f"still-{name}", still_main, lambda: (job,)))
        self.stills[name] = {"id": name, "state": "taking", "count": count, "format": kind, "files": [], "reason": ""}
        self.stills[name]["folder"] = str(folder)
        while len(self.stills) > STILLS_KEPT:
            self.stills.popitem(last=False)
        self._tell("still", self.stills[name])
        return Outcome(202, dict(self.stills[name]))

    def _begin_recording(self, asked: Mapping[str, Any]) -> Outcome:
        if self.recording is not None and self.recording["state"] == "recording":
            return problem(409, f"{self.recording['name']} is being recorded: end it first")
        given = self._given()
        folder = captures_folder(given.config.control.folder) / "recordings" / str(asked["name"])
        if folder.exists():
            return problem(409, f"there is a recording {asked['name']} already: nothing is overwritten")
        free = _free(folder, given.config)
        if free is not None:
            return free
        least = int(1e9 * given.config.control.least_free_gb)
        camera = given.config.publish.frame_id
        job = RecordJob(self._source, folder, asked.get("seconds"), asked.get("brackets"), least, camera)
        self._supervisor.run_task(ChildSpec(RECORDER, record_main, lambda: (job,)))
        self.recording = {"name": asked["name"], "state": "recording", "brackets": 0, "seconds": 0.0, "refused": 0}
        self.recording |= {"missed": 0, "reason": "", "folder": str(folder)}
        self._tell("recording", self.recording)
        return Outcome(201, dict(self.recording))

    def _end_recording(self) -> Outcome:
        if self.recording is None or self.recording["state"] != "recording":
            return problem(409, "nothing is being recorded")
        self._supervisor.tell(RECORDER, "stop")
        return Outcome(202, dict(self.recording))

    def on_end(self, name: str) -> None:
        """A process has ended: what has become of it."""
        child = self._supervisor.tasks.get(name)
        if child is None:
            return
        values = dict(child.values)
        if not child.finished:
            values |= {"state": "failed", "reason": child.last_words or "its process was killed"}
        still = self.stills.get(name.removeprefix("still-"))
        if still is not None:
            still |= {key: values[key] for key in ("state", "files", "reason") if key in values}
            self._tell("still", still)
        elif name == RECORDER and self.recording is not None:
            self.recording |= {key: values[key] for key in self.recording if key in values}
            self._tell("recording", self.recording)

    def step(self) -> None:
        """Say what is new of those that go on."""
        for name, child in self._supervisor.tasks.items():
            still = self.stills.get(name.removeprefix("still-"))
            state = child.values.get("state")
            if still is not None and state in ("taking", "fusing") and state != still["state"]:
                still["state"] = state
                self._tell("still", still)
            if name == RECORDER and self.recording is not None:
                self.recording |= {key: child.values[key] for key in COUNTS if key in child.values}

    def status(self) -> dict[str, Any]:
        """For GET /status."""
        return {"recording": self.recording, "stills": list(self.stills.values())}

    def _tell(self, event: str, data: Mapping[str, Any]) -> None:
        self._event(event, **{key: value for key, value in data.items() if key != "folder"})


def _free(folder: Path, config: Config) -> Outcome | None:
    """A refusal if the disk is too full."""
    place = folder
    while not place.exists():
        place = place.parent
    free_gb, least_gb = shutil.disk_usage(place).free / 1e9, config.control.least_free_gb
    if free_gb >= least_gb:
        return None
    return problem(507, f"{free_gb:.1f} GB are free where stills and recordings go; {least_gb:g} GB must stay free")
