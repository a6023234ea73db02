"""A model of a pipeline that is changed: its supervisor and processes, which take commands when it is their turn."""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from livemef.capture.child import Command, Report
from livemef.tools.config.live_keys import ChangeRefused, Wrong, changed_config
from livemef.tools.config.schema import Config
from livemef.tools.run.control import Control
from livemef.tools.run.live_state import LiveState
from livemef.tools.run.outcome import Outcome

CANNOT = "3333us"
"""The model camera refuses plans with this exposure, though they can be parsed."""


BASE = Config.model_validate({"control": {"cameras": {"front": "csi://0", "macro": "v4l2:///dev/video2"}}})
HELD = "500us@1,8000us@1"


@dataclass
class Process:
    """A model of capture or fusion: takes commands in order, when it is its turn."""

    config: Config
    inbox: deque[Command] = field(default_factory=deque)


class Model:
    """Stands in for the supervisor and its processes."""

    def __init__(self, camera: bool = True, reload: Any = None, save: Any = None) -> None:
        self.now_s = 0.0
        self.state = LiveState(BASE, reload)
        self.entries: list[dict[str, Any]] = []
        self.gate: list[Command] = []
        self.processes: dict[str, Process | None] = {}
        self.restarts: list[str] = []
        self.published: list[dict[str, Any]] = []
        self.control = Control(
            self,
            self.state,
            sets_exposures=lambda: camera,
            save=save,
            audit=self.entries.append,
            check=self.check,
            clock=lambda: self.now_s,
        )
        self.asks = 0
        for name in ("capture", "fusion"):
            self.spawn(name)

    def check(self, after: Config) -> None:
        if after.runtime.device == "cuda":
            raise ChangeRefused([Wrong("runtime.device", "is not here")])

    def spawn(self, name: str) -> None:
        self.processes[name] = Process(self.state.config)

    def kill(self, name: str) -> None:
        self.processes[name] = None
        self.control.on_end(name)

    def tell(self, name: str, message: Command | str) -> bool:
        assert isinstance(message, Command)
        if message.name == "event" and name == "fusion":
            self.published.append(dict(message.values))
            return self.processes[name] is not None
        if name == "preview":
            self.gate.append(message)
            return True
        process = self.processes[name]
        if process is None:
            return False
        process.inbox.append(message)
        return True

    def is_there(self, name: str) -> bool:
        return self.processes[name] is not None

    def restart(self, name: str) -> bool:
        self.restarts.append(name)
        if name in self.processes and self.processes[name] is not None:
            self.kill(name)
            self.spawn(name)
        return True

    def ask(self, do: str, **values: Any) -> int:
        self.asks += 1
        self.control.on_report("preview", Report("ask", values={"ask": self.asks, "do": do, "who": "tester", **values}))
        return self.asks

    def change(self, table: str, **change: Any) -> int:
        return self.ask("change", table=table, change=change)

    def work(self, name: str, count: int = 1000) -> None:
        """Let a process take in that many commands."""
        while count and (process := self.processes[name]) is not None and process.inbox:
            count -= 1
            command = process.inbox.popleft()
            answer = self._obeyed(name, process, command)
            if command.number:
                self.control.on_report(name, Report("answer", values={"number": command.number, **answer}))

    def _obeyed(self, name: str, process: Process, command: Command) -> dict[str, Any]:
        values = dict(command.values)
        if name == "capture":
            if command.name == "hold":
                process.config = changed_config(process.config, "capture", {"exposures": HELD})
                return {"refused": "", "exposures": HELD}
            if CANNOT in values["exposures"]:
                return {"refused": "outside what the camera can do"}
            process.config = changed_config(process.config, "capture", values)
            return {"refused": "", "restart": values["exposures"].count(",") == 2}
        values.pop("settings_rev")
        if values.get("settings") is not None:
            process.config = process.config.model_copy(update={"fusion": values["settings"]})
        if "codec" in values:
            process.config = changed_config(process.config, "publish", {"codec": values["codec"]})
        if "bracket_mode" in values:
            process.config = changed_config(process.config, "capture", {"bracket_mode": values["bracket_mode"]})
        return {"refused": ""}

    def settle(self) -> None:
        quiet = 0
        while quiet < 3:
            quiet += 1
            for name in self.processes:
                if self.processes[name] is None:
                    self.spawn(name)
                if self.processes[name].inbox:  # type: ignore[union-attr]
                    quiet = 0
                self.work(name)
            self.control.step()

    def answers(self, ask: int | None = None) -> list[Outcome]:
        found = [command.values for command in self.gate if command.name == "answer"]
        return [Outcome(one["status"], one["body"]) for one in found if ask in (None, one["ask"])]

    def events(self) -> list[dict[str, Any]]:
        return [command.values["data"] for command in self.gate if command.name == "event"]
