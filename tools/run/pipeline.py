"""The processes of `livemef run`, and what each is started with: always by the live configuration."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from livemef.capture.cameras.base import KnownCamera
from livemef.capture.child import Report
from livemef.capture.process import CaptureJob
from livemef.capture.process import main as capture_main
from livemef.capture.transport.slot_link import meeting_point
from livemef.fusion.camera_settings import settings_for
from livemef.fusion.open_fuser import driver_is_here
from livemef.fusion.process import FusionJob, Outlet
from livemef.fusion.process import main as fusion_main
from livemef.fusion.settings import FusionSettings
from livemef.fusion.stream.endpoint import parse_endpoint
from livemef.tools.config.live_keys import ChangeRefused, Wrong, camera_names
from livemef.tools.config.schema import Config
from livemef.tools.preview.page_job import PageJob
from livemef.tools.run.audit import AuditLog
from livemef.tools.run.chosen_camera import ChosenCamera, chosen_camera
from livemef.tools.run.control import GATE, Control
from livemef.tools.run.device_choice import DeviceChoice
from livemef.tools.run.live_state import LiveState
from livemef.tools.run.saving import Saver
from livemef.tools.run.spawning import ChildSpec
from livemef.tools.run.status_feed import StatusFeed
from livemef.tools.run.supervisor import Supervisor
from livemef.tools.run.takes import Given, Takes


def fusion_settings(settings: FusionSettings, known: KnownCamera | None) -> FusionSettings:
    """The settings, with `shoulder` by the camera's measured response where nobody has set it."""
    return settings_for(settings, None if known is None else known.response)


def _with_camera(config: Config, name: str) -> Config:
    return config.model_copy(update={"control": config.control.model_copy(update={"camera": name})})


TAKES = ("still", "record", "stop_recording")


@dataclass(frozen=True)
class Place:
    """Where a run keeps what only this user may reach. control_token: of this run, for its whole life."""

    folder: Path
    control_token: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    @property
    def pictures(self) -> str:
        """Address of the outlet that the page subscribes to."""
        return f"ipc://{self.folder}/preview"


class Pipeline:
    """The supervised processes, and all that belongs to them: their live configuration, its changes, their state.

    Call `supervisor.start`, then `step` in a loop, then `stop`. frames: end after publishing so many.
    more_outlets: of fusion, beside that of [publish] and the page's. mosaics: publish raw frames too, of a camera that
    has them.
    """

    def __init__(
        self,
        config: Config,
        place: Place,
        frames: int | None,
        saver: Saver,
        more_outlets: tuple[Outlet, ...] = (),
        mosaics: bool = False,
    ) -> None:
        self.state = LiveState(config, saver.reload)
        self._place, self._frames, self._more_outlets, self._mosaics = place, frames, more_outlets, mosaics
        self._device = DeviceChoice(config.runtime.device, driver_is_here())
        self._cameras = {name: chosen_camera(_with_camera(config, name)) for name in camera_names(config)}
        self._fused_camera = self._camera
        self._capture_end, self._fusion_end = meeting_point()
        self._last_epoch = -1
        self.supervisor = Supervisor(self._specs(), config.supervision)
        self.control = Control(
            self.supervisor,
            self.state,
            lambda changed: fusion_settings(changed.fusion, self._camera.seen),
            sets_exposures=lambda: bool(self.supervisor.children["capture"].described.get("can_request", True)),
            save=saver.save,
            audit=AuditLog().write,
            check=self._check,
            more=lambda do, asked: self.takes.ask(do, asked) if do in TAKES else None,
        )
        self.takes = Takes(self.supervisor, f"sub+connect:{place.pictures}", self._given, self._tell)
        self.feed = StatusFeed(self.supervisor, self.control, self.takes)
        self.supervisor.listener = self

    @property
    def corrections(self) -> tuple[str, ...]:
        """A line on what the camera's profile changes in pixels; none without a profile."""
        return self._camera.corrections

    @property
    def endpoint(self) -> str:
        """The endpoint of [publish]. Where that leaves the port open: with the port that fusion has found, for the rest
        of the run. Raises FusionError.
        """
        asked = self.state.config.publish.endpoint
        found = self.supervisor.children["fusion"].described.get("publish")
        if found is None or not parse_endpoint(asked, "pub").any_port:
            return asked
        return f"pub+bind:{found}"

    @property
    def _camera(self) -> ChosenCamera:
        """The camera in use. Profiles are read once: who changes a file while it is used does not change pictures."""
        return self._cameras[self.state.config.control.camera]

    def _check(self, after: Config) -> None:
        """See Control."""
        device = after.runtime.device
        if device == "cuda" and device != self.state.config.runtime.device and not driver_is_here():
            raise ChangeRefused([Wrong("runtime.device", "is 'cuda', and no NVIDIA driver is here", "auto or cpu")])

    def step(self, wait_s: float) -> None:
        """Wait up to `wait_s` for something to happen, and do what is due. Raises StartFailed."""
        self.supervisor.step(wait_s)
        self.control.step()
        self.takes.step()
        self.feed.step()

    def stop(self) -> None:
        """End all processes. Nothing can be started afterwards."""
        self.supervisor.stop()
        self._capture_end.close()
        self._fusion_end.close()

    def on_report(self, name: str, report: Report) -> None:
        """See Listener."""
        self.control.on_report(name, report)

    def on_end(self, name: str) -> None:
        """See Listener."""
        if name == "capture":
            state = self.supervisor.children[name].values.get("control", {})
            self._last_epoch = max(self._last_epoch, state.get("epoch", -1))
            if self._camera.profile != self._fused_camera.profile:  # what corrects the old camera's pixels ends with it
                self.supervisor.restart("fusion")
        self.takes.on_end(name)
        self.control.on_end(name)

    def _tell(self, event: str, **data: Any) -> None:
        """An event of stills and recordings: after the status that has it."""
        self.feed.push()
        self.control.event(event, **data)

    def _given(self) -> Given:
        config = self.state.config
        known = self._camera.known
        return Given(config, fusion_settings(config.fusion, known), None if known is None else known.response)

    def _specs(self) -> list[ChildSpec]:
        specs = [ChildSpec("capture", capture_main, self._capture), ChildSpec("fusion", fusion_main, self._fusion)]
        if self.state.config.preview.enabled:
            from livemef.tools.preview.process import main as page_main

            specs.append(ChildSpec(GATE, page_main, self._page))
        return specs

    def _capture(self) -> tuple[CaptureJob]:
        settings = self.state.config.capture
        return (
            CaptureJob(
                link=self._capture_end,
                camera=self._camera.uri,
                exposures=settings.exposures,
                gain=settings.gain,
                mains_hz=settings.mains_hz,
                ring_slots=settings.ring_slots,
                stall_timeout_s=settings.stall_timeout_s,
                known=self._camera.known,
                first_epoch=self._last_epoch + 1,
                mosaics=self._mosaics,
            ),
        )

    def _fusion(self) -> tuple[FusionJob]:
        config, child, camera = self.state.config, self.supervisor.children["fusion"], self._camera
        self._fused_camera = camera
        if config.runtime.device != self._device.configured:
            self._device = DeviceChoice(config.runtime.device, driver_is_here())
        device = self._device.next(child.failures, child.described.get("device"), child.last_words)
        frames = None if self._frames is None else max(0, self._frames - child.count("published"))
        return (
            FusionJob(
                link=self._fusion_end,
                outlets=tuple(self._outlets(config)),
                settings=fusion_settings(config.fusion, camera.seen),
                model=config.runtime.model,
                device=device,
                threads=config.runtime.threads or None,
                bracket_mode=config.capture.bracket_mode,
                frames=frames,
                after_cuda=self._device.fallen_back,
                profile=camera.profile,
                frame_id=config.publish.frame_id,
                settings_rev=self.state.revision,
                response=None if camera.seen is None else camera.seen.response,
                correction=camera.correction,
            ),
        )

    def _outlets(self, config: Config) -> list[Outlet]:
        publish = config.publish
        outlets = [Outlet(self.endpoint, publish.codec, publish.wire, publish.insecure), *self._more_outlets]
        return [*outlets, Outlet(f"pub+bind:{self._place.pictures}")] if config.preview.enabled else outlets

    def _page(self) -> tuple[PageJob]:
        preview = self.state.config.preview
        return (
            PageJob(
                source=f"sub+connect:{self._place.pictures}",
                host=preview.host,
                port=preview.port,
                view_token=preview.token or None,
                control_token=self._place.control_token,
                folder=str(self._place.folder),
                insecure=self.state.config.publish.insecure,
                certificate=preview.certificate,
                key=preview.key,
                control_endpoint=self.state.config.control.endpoint,
            ),
        )
