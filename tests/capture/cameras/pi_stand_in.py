"""A stand-in for picamera2 on a Raspberry Pi, which no test machine is: frames that report exposure, HdrChannel, colour
gains and black level, with a sensor's delays behind four buffers. The light comes from sim://.

It has what livemef.capture.cameras.picamera touches, named as in picamera2 0.3.38 and libcamera 0.5.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np

from livemef.capture.cameras.registry import open_camera
from livemef.capture.cameras.simulated import SimulatedCamera
from livemef.capture.frame import Exposure
from tests.vm import watermark

SENSOR_DELAYS = {"imx219": (2, 1), "imx477": (2, 2), "imx708": (2, 2), "imx296": (2, 2)}
"""Frames of delay of exposure and gain (libcamera, src/ipa/rpi/cam_helper)."""
NATIVE = (Exposure(1000.0), Exposure(16000.0))
MODULES = ("picamera2", "libcamera", "livemef.capture.cameras.picamera")


class PiCamera:
    """The part of `Picamera2`'s interface that livemef uses."""

    sensor: ClassVar[str] = "imx708"
    stall_s: ClassVar[float] = 0.0
    in_use: ClassVar[bool] = False
    tunings: ClassVar[list[Any]] = []

    sensor_format = "SRGGB12_CSI2P"
    camera_properties: ClassVar[dict[str, Any]] = {"Model": "imx708", "ColorFilterArrangement": 0}

    def __init__(self, index: int, tuning: Any = None) -> None:
        if PiCamera.in_use:
            raise RuntimeError("Camera __init__ sequence did not complete.") from RuntimeError(
                "Failed to acquire camera: Device or resource busy"
            )
        PiCamera.in_use = True
        PiCamera.tunings.append(tuning)
        self.pre_callback: Any = None
        self.camera_controls = {
            "ExposureTime": (100, 66000, 20000),
            "AnalogueGain": (1.122807, 16.0, 1.122807),
            "AeEnable": (False, True, True),
            "AwbEnable": (False, True, True),
            "ColourGains": (0.0, 32.0, 0.0),
            "FrameDurationLimits": (10000, 1000000, 33333),
            "NoiseReductionMode": (0, 4, 1),
            "HdrMode": (0, 4, 0),
        }
        self._pending: dict[str, Any] = {}
        self._running = threading.Event()

    @staticmethod
    def global_camera_info() -> list[dict[str, Any]]:
        return [{"Num": 0, "Model": PiCamera.sensor, "Id": "/base/soc/i2c0mux/i2c@1/imx708@1a"}]

    @staticmethod
    def load_tuning_file(name: str) -> dict[str, Any]:
        return {"algorithms": [{"rpi.contrast": {"ce_enable": 1}}], "sensor": name}

    @staticmethod
    def find_tuning_algo(tuning: dict[str, Any], name: str) -> Any:
        return next(algorithm[name] for algorithm in tuning["algorithms"] if name in algorithm)

    def create_video_configuration(self, **config: Any) -> dict[str, Any]:
        return config

    def configure(self, config: dict[str, Any]) -> None:
        width = config["main"]["size"][0]
        # Pi 5 hardware pads its lines to 64 bytes
        config["main"]["stride"] = -(-3 * width // 64) * 64
        if config["raw"] is not None:
            config["raw"]["stride"] = -(-2 * width // 64) * 64
        self._config = config
        self._pending = dict(config["controls"])

    def camera_configuration(self) -> dict[str, Any]:
        return self._config

    def set_controls(self, controls: dict[str, Any]) -> None:
        unknown = controls.keys() - self.camera_controls.keys()
        if unknown:
            raise RuntimeError(f"Control {unknown} is not advertised by libcamera")
        self._pending |= controls

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._running.set()
        self._thread.start()

    def close(self) -> None:
        if self._running.is_set():
            self._running.clear()
            self._thread.join()
        PiCamera.in_use = False

    def _run(self) -> None:
        width, height = self._config["main"]["size"]
        period_us = self._pending["FrameDurationLimits"][0]
        delay, gain_delay = SENSOR_DELAYS[PiCamera.sensor]
        uri = (
            f"sim://?scene=bars&size={width}x{height}&fps={1e6 / period_us:g}&step=0us&seed=4"
            f"&delay={delay}&gain_delay={gain_delay}"
        )
        light = open_camera(uri)
        assert isinstance(light, SimulatedCamera)
        light.start()
        settings: dict[str, Any] = {"AeEnable": True, "AwbEnable": True, "ExposureTime": 20000, "AnalogueGain": 1.0}
        buffers: deque[dict[str, Any]] = deque([{} for _ in range(self._config["buffer_count"])])
        turn = 0
        while self._running.is_set():
            frame = light.read(5.0)
            if PiCamera.stall_s:
                threading.Event().wait(PiCamera.stall_s)
                PiCamera.stall_s = 0.0
            turn += 1
            if self.pre_callback is not None:
                self.pre_callback(self._request(light, frame, settings, turn))
            buffers.append(self._pending)
            self._pending = {}
            settings |= buffers.popleft()
            if settings.get("HdrMode") == "unmerged":
                light.request(NATIVE[turn % 2])
            elif not settings["AeEnable"]:
                light.request(Exposure(settings["ExposureTime"], settings["AnalogueGain"]))
            else:
                light.request(Exposure(18000.0 + 500 * (turn % 3)))
        light.close()

    def _request(self, light: SimulatedCamera, frame: Any, settings: dict[str, Any], turn: int) -> Any:
        truth = light.truth[-1]
        watermark.draw(frame.pixels, truth.sequence, truth.exposure.exposure_us)
        gains = settings.get("ColourGains") if not settings["AwbEnable"] else (1.8 + 0.01 * (turn % 5), 1.5)
        metadata = {
            "ExposureTime": int(truth.exposure.exposure_us * 0.996),
            "AnalogueGain": truth.exposure.gain,
            "SensorTimestamp": frame.record.timestamp_ns,
            "FrameDuration": self._config["controls"]["FrameDurationLimits"][0],
            "ColourGains": gains,
            "SensorBlackLevels": (4096, 4096, 4096, 4096),
        }
        if settings.get("HdrMode") == "unmerged":
            metadata["HdrChannel"] = 1 if truth.exposure.exposure_us < 4000 else 3
        planes = {"main": frame.pixels.reshape(len(frame.pixels), -1)}
        if self._config["raw"] is not None:
            mosaic = (frame.pixels[..., 1].astype("<u2") << 4) + 256
            planes["raw"] = mosaic.view(np.uint8)
        buffers = {
            name: SimpleNamespace(metadata=SimpleNamespace(sequence=truth.sequence, timestamp=0)) for name in planes
        }

        def make_buffer(name: str) -> Any:
            padding = self._config[name]["stride"] - planes[name].shape[1]
            return np.pad(planes[name], ((0, 0), (0, padding))).reshape(-1)

        return SimpleNamespace(
            request=SimpleNamespace(buffers=buffers),
            stream_map={name: name for name in planes},
            get_metadata=lambda: metadata,
            make_buffer=make_buffer,
        )


@contextmanager
def pi() -> Iterator[type[PiCamera]]:
    """Context in which csi:// opens a Pi's camera."""
    before = {name: sys.modules.pop(name, None) for name in MODULES}
    picamera2, libcamera = ModuleType("picamera2"), ModuleType("libcamera")
    picamera2.Picamera2 = PiCamera  # type: ignore[attr-defined]
    libcamera.controls = SimpleNamespace(  # type: ignore[attr-defined]
        draft=SimpleNamespace(NoiseReductionModeEnum=SimpleNamespace(Off="off")),
        HdrModeEnum=SimpleNamespace(Off="off", MultiExposureUnmerged="unmerged"),
    )
    sys.modules.update({"picamera2": picamera2, "libcamera": libcamera})
    PiCamera.sensor, PiCamera.stall_s, PiCamera.in_use = "imx708", 0.0, False
    PiCamera.tunings.clear()
    try:
        yield PiCamera
    finally:
        for name, module in before.items():
            sys.modules.pop(name, None)
            if module is not None:
                sys.modules[name] = module
