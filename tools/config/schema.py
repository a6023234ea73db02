"""The schema of the configuration: all settings with types, ranges and defaults.

`tools/config/livemef.toml` documents every key; `tools/config/sources.py` combines file, variables and flags.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from livemef.fusion.settings import FusionSettings, MotionMode
from livemef.tools.run.restart_policy import RestartPolicy


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CaptureConfig(_Table):
    """[capture]: camera, exposures, profile. correct: whether the profile changes the pixels that are fused."""

    camera: str = "sim://"
    exposures: str = "auto"
    gain: float = Field(default=1.0, gt=0, le=1000)
    mains_hz: Literal[0, 50, 60] = 50
    profile: str = ""
    correct: bool = True
    bracket_mode: Literal["sliding", "disjoint"] = "sliding"
    ring_slots: int = Field(default=8, ge=4, le=64)
    stall_timeout_s: float = Field(default=5.0, ge=0.1, le=3600)


class RuntimeConfig(_Table):
    """[runtime]: network, device, threads (0: all cores that this process may use)."""

    model: str = "cbm"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = Field(default=0, ge=0, le=256)


class StillsConfig(_Table):
    """[stills]: settings of `livemef fuse` that differ from live use. network_lines 0: full resolution."""

    network_lines: int = Field(default=90, ge=0)
    motion: MotionMode = "off"


class PublishConfig(_Table):
    """[publish]: where fused frames go, and in which form."""

    endpoint: str = "pub+bind:tcp://127.0.0.1:5556"
    codec: Literal["raw", "jpeg", "png"] = "raw"
    wire: Literal["livemef", "imagezmq"] = "livemef"
    insecure: bool = False
    frame_id: str = Field(default="camera", min_length=1, max_length=256)


class PreviewConfig(_Table):
    """[preview]: the page. token "": none, allowed on loopback addresses only. certificate, key: for https."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=1, le=65535)
    token: str = ""
    certificate: str = ""
    key: str = ""


class NamedCamera(_Table):
    """A camera's URI and its profile, "" = none."""

    camera: str
    profile: str = ""


NAME = r"[A-Za-z0-9_-]{1,64}"
Name = Annotated[str, Field(pattern=f"^{NAME}$")]


def _with_uri_alone(cameras: Any) -> Any:
    """A camera may be given by its URI alone."""
    if not isinstance(cameras, dict):
        return cameras
    return {name: {"camera": given} if isinstance(given, str) else given for name, given in cameras.items()}


class ControlConfig(_Table):
    """[control]: the control API. endpoint: of programs with an allowed key, "" = none. camera: the one of `cameras` in
    use, "" = [capture]'s. cameras: those that may be chosen over the API, by name. folder: of stills and recordings,
    "" = in the user's data folder.
    """

    endpoint: str = ""
    camera: str = ""
    cameras: Annotated[dict[Name, NamedCamera], BeforeValidator(_with_uri_alone)] = {}
    folder: str = ""
    least_free_gb: float = Field(default=2.0, ge=0, le=1e6)

    @model_validator(mode="after")
    def _known(self) -> ControlConfig:
        if self.camera and self.camera not in self.cameras:
            raise ValueError(f"camera is {self.camera!r}; [control.cameras] has {', '.join(self.cameras) or 'none'}")
        return self


class Config(_Table):
    """The effective configuration. Picklable, to be passed to child processes."""

    capture: CaptureConfig = CaptureConfig()
    fusion: FusionSettings = FusionSettings()
    runtime: RuntimeConfig = RuntimeConfig()
    stills: StillsConfig = StillsConfig()
    publish: PublishConfig = PublishConfig()
    preview: PreviewConfig = PreviewConfig()
    control: ControlConfig = ControlConfig()
    supervision: RestartPolicy = RestartPolicy()

    @property
    def camera_in_use(self) -> NamedCamera:
        """The camera that was chosen by name, else that of [capture]."""
        if self.control.camera:
            return self.control.cameras[self.control.camera]
        return NamedCamera(camera=self.capture.camera, profile=self.capture.profile)

    @field_validator("supervision")
    @classmethod
    def _positive(cls, policy: RestartPolicy) -> RestartPolicy:
        for name, value in asdict(policy).items():
            if not 0 < value < float("inf"):
                raise ValueError(f"{name} should be above 0 seconds")
        return policy
