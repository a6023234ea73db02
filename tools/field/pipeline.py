"""The live pipeline under a session: the processes of `livemef run`, kept alive by a thread while objects are taken."""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from livemef.fusion.process import Outlet
from livemef.tools.config.schema import Config
from livemef.tools.exits import UserError
from livemef.tools.run import pipeline as run
from livemef.tools.run.command import page_in_words
from livemef.tools.run.run_files import page_address, write_run_files
from livemef.tools.run.saving import Saver
from livemef.tools.run.supervisor import StartFailed

TURN_S = 0.1
START_LIMIT_S = 120.0


class Pipeline:
    """Camera, fusion and page as watched processes. `start`, then frames come at `endpoint` until `stop`.

    page: its address, which only shows, "" = there is none; page_in_words: with the way to take objects on it, for the
    standard output.
    """

    def __init__(self, config: Config, folder: Path, mosaics: bool = False) -> None:
        """folder: for sockets, this user's alone. mosaics: publish raw frames too, of a camera that has them."""
        self.endpoint = f"sub+connect:ipc://{folder}/exposures"
        outlet = Outlet(f"pub+bind:ipc://{folder}/exposures")
        place = run.Place(folder)
        write_run_files(place, config)
        self.page = page_address(config) if config.preview.enabled else ""
        self.page_in_words = page_in_words(config, place, sys.stdout.isatty()) if config.preview.enabled else ""
        self._run = run.Pipeline(config, place, None, Saver(lambda: config), (outlet,), mosaics)
        self._supervisor = self._run.supervisor
        self._ending = threading.Event()
        self._news: queue.SimpleQueue[tuple[str, Mapping[str, Any]]] = queue.SimpleQueue()
        self._failed: StartFailed | None = None
        self._thread = threading.Thread(target=self._watch, name="pipeline", daemon=True)

    def start(self) -> None:
        """Start all processes and wait until each works. Raises UserError if one cannot start."""
        self._thread.start()
        deadline = time.monotonic() + START_LIMIT_S
        while not self._all_ready():
            if self._failed is not None:
                raise UserError(str(self._failed)) from self._failed
            if time.monotonic() > deadline:
                raise UserError(f"the camera or the fusion was not ready after {START_LIMIT_S:.0f} s; try livemef run")
            time.sleep(TURN_S / 4)

    def _all_ready(self) -> bool:
        return all(child.ready for child in self._supervisor.children.values())

    @property
    def problem(self) -> str:
        """What is not working at present, in words; "" if all is."""
        if self._failed is not None:
            return str(self._failed)
        for name, child in self._supervisor.children.items():
            if not child.ready:
                return f"{name}: {child.last_words or 'is being started again'}"
        return ""

    def tell(self, event: str, data: Mapping[str, Any]) -> None:
        """Send an event to everybody who listens to the control API. From any thread; never waits."""
        self._news.put((event, data))

    def stop(self) -> None:
        """End all processes."""
        self._ending.set()
        self._thread.join(10)

    def _watch(self) -> None:
        try:
            self._supervisor.start()
            while not self._ending.is_set():
                self._run.step(TURN_S)
                self._send_news()
        except StartFailed as error:
            self._failed = error
        finally:
            self._send_news()
            self._run.stop()

    def _send_news(self) -> None:
        while not self._news.empty():
            event, data = self._news.get()
            self._run.control.event(event, **data)
