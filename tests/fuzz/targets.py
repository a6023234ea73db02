"""What is fuzzed: every reader of something that somebody else may have made, with sound inputs to start from."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from livemef.calibration.errors import CalibrationError
from livemef.calibration.profile import DelaySection, load_profile, new_profile, save_profile
from livemef.capture.cameras.base import CameraIdentity
from livemef.capture.errors import CaptureError
from livemef.capture.files.image_io import read_picture
from livemef.capture.files.radiance import read_radiance
from livemef.capture.files.recording import BRACKETS_FILE, FRAMES_FILE, HEADER_FILE, Recording
from livemef.capture.frame import Mosaic
from livemef.engine.errors import EngineError
from livemef.engine.onnx_runtime import OnnxLightnessNet
from livemef.engine.open_net import MODELS
from livemef.fusion.stream import wire
from livemef.tools.config.sources import combine, read_file
from livemef.tools.exits import UserError
from livemef.tools.preview.api import Api
from livemef.tools.preview.gate_link import GateLink
from livemef.tools.preview.router_door import parsed
from livemef.tools.run.outcome import Outcome
from tests.fusion.stream.stream_samples import header, ramp

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Target:
    """A reader under test. read(data, folder): reads it, through a file in `folder` where it reads files.

    seeds: sound inputs. expected: what it may raise.
    """

    read: Callable[[bytes, Path], object]
    seeds: Callable[[], list[bytes]]
    expected: tuple[type[Exception], ...]


def _picture(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return cv2.resize(rng.integers(0, 255, (6, 8, 3), np.uint8), (40, 30), interpolation=cv2.INTER_CUBIC)


# --- wire: topic, header and payload, joined by their lengths


def _wire_seeds() -> list[bytes]:
    messages = [wire.encode("fused", header(codec=codec), ramp(np.uint8)) for codec in ("raw", "png", "jpeg")]
    messages += [wire.encode("exposure/1", header(codec=codec), ramp(np.uint16)) for codec in ("raw", "png")]
    messages.append(wire.encode_mosaic("mosaic/1", header(), Mosaic(ramp(np.uint16)[..., 0], "RGGB", 64, 4095)))
    return [b"".join(len(bytes(part)).to_bytes(4, "big") + bytes(part) for part in parts) for parts in messages]


def _read_wire(data: bytes, folder: Path) -> object:
    parts, at = [], 0
    while at + 4 <= len(data) and len(parts) < 5:
        length = int.from_bytes(data[at : at + 4], "big")
        parts.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    return wire.decode(parts)


# --- pictures


def _picture_seeds() -> list[bytes]:
    small, wide = _picture(), (_picture(1).astype(np.uint16) << 8) + 7
    seeds = [cv2.imencode(suffix, small)[1].tobytes() for suffix in (".png", ".jpg", ".tiff", ".webp")]
    seeds += [cv2.imencode(suffix, wide)[1].tobytes() for suffix in (".png", ".tiff")]
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    for kind, options in (("JPEG", {"progressive": True}), ("PNG", {}), ("TIFF", {"compression": "tiff_lzw"})):
        out = io.BytesIO()
        Image.fromarray(small).save(out, kind, exif=exif, **options)
        seeds.append(out.getvalue())
    return seeds


def _read_picture(data: bytes, folder: Path) -> object:
    path = folder / "picture.png"
    path.write_bytes(data)
    return read_picture(path)


def _radiance_seeds() -> list[bytes]:
    light = (_picture().astype(np.float32) / 50) ** 2
    return [cv2.imencode(suffix, light)[1].tobytes() for suffix in (".hdr", ".tiff")]


def _read_radiance(data: bytes, folder: Path) -> object:
    path = folder / "map.hdr"
    path.write_bytes(data)
    return read_radiance(path)


# --- recordings: the three lists, joined; the pictures stay sound

_LISTS = (HEADER_FILE, FRAMES_FILE, BRACKETS_FILE)
_SEAM = b"\n====\n"


def _recording_seeds() -> list[bytes]:
    limits = {"exposure_min_us": 10.0, "exposure_max_us": 33000.0}
    camera = {"uri": "x", "name": "x", "width": 40, "height": 30, "dtype": "uint8", "fps": 30.0, "limits": limits}
    about = {"format": "livemef-recording", "version": 1, "camera": camera}
    frames = [
        {
            "file": "frames/0.png",
            "record": {
                "sequence": number,
                "timestamp_ns": number * 33_000_000,
                "clock": "monotonic",
                "received_ns": number * 33_000_000,
                "measured": {"exposure_us": 1000.0 + 9000 * number, "gain": 1.0},
                "index": number,
                "label_source": "metadata",
                "flags": [],
            },
        }
        for number in range(2)
    ]
    lines = "".join(json.dumps(frame) + "\n" for frame in frames)
    return [_SEAM.join((json.dumps(about).encode(), lines.encode(), b'{"frames": [0, 1], "verdict": "good"}\n'))]


def _read_recording(data: bytes, folder: Path) -> object:
    pictures = folder / "frames"
    if not pictures.exists():
        pictures.mkdir()
        cv2.imwrite(str(pictures / "0.png"), _picture())
    texts = [*data.split(_SEAM), b"", b""]
    for name, text in zip(_LISTS, texts, strict=False):
        (folder / name).write_bytes(text)
    recording = Recording(folder)
    return [recording.frame(place) for place in range(min(2, len(recording)))]


# --- settings


def _configuration_seeds() -> list[bytes]:
    return [(ROOT / "tools/config/livemef.toml").read_bytes(), b'[fusion]\ngamma = 0.7\nmotion = "full"\n']


def _read_configuration(data: bytes, folder: Path) -> object:
    path = folder / "livemef.toml"
    path.write_bytes(data)
    return combine(read_file(path))


def _profile_seeds() -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "camera.toml"
        profile = new_profile(CameraIdentity("model", "7", 8, 6, "uint8"))
        delay = DelaySection(
            date="2026-01-01", exposure_delay=2, gain_delay=None, trials=9, agreeing=9, separation=40.0
        )
        save_profile(path, dataclasses.replace(profile, delay=delay))
        return [path.read_bytes()]


def _read_profile(data: bytes, folder: Path) -> object:
    path = folder / "camera.toml"
    path.write_bytes(data)
    return load_profile(path)


# --- networks


def _onnx_seeds() -> list[bytes]:
    return [(MODELS / "cbm.onnx").read_bytes()]


def _read_onnx(data: bytes, folder: Path) -> object:
    path = folder / "net.onnx"
    path.write_bytes(data)
    return OnnxLightnessNet(path, 1)


# --- control messages: what the gate makes of them before anything else of the pipeline sees them


class RequestRefused(Exception):
    """The gate answered that a request is wrong."""


def _control_seeds() -> list[bytes]:
    requests = [
        ("PATCH", "/settings/fusion", {"gamma": 0.8, "chroma": "select", "motion": "full", "network_lines": 90}),
        ("PATCH", "/settings/capture", {"exposures": "1ms,4ms@2,16ms", "gain": 2.0, "mains_hz": 60}),
        ("PATCH", "/settings/capture", {"exposures": "auto:3", "bracket_mode": "disjoint"}),
        ("PATCH", "/settings/publish", {"codec": "jpeg"}),
        ("PATCH", "/settings/runtime", {"device": "cpu", "threads": 2}),
        ("PATCH", "/settings/control", {"camera": "front"}),
        ("POST", "/exposures/hold", {}),
        ("POST", "/stills", {"count": 2, "format": "png8"}),
        ("PUT", "/recording", {"name": "night-1", "seconds": 10.5, "brackets": 100}),
        ("POST", "/restart", {"process": "capture"}),
        ("GET", "/settings", None),
        ("GET", "/status", None),
    ]
    return [
        json.dumps({"method": method, "path": path, "if_match": "7", "client": "fuzz", "body": body}).encode()
        for method, path, body in requests
    ]


def _read_control(data: bytes, folder: Path) -> object:
    request = parsed(data)
    outcome = request if isinstance(request, Outcome) else asyncio.run(Api(GateLink(None)).answer(request))
    text = json.dumps(outcome.body)
    if outcome.status == 409:  # sound: only a pipeline is lacking
        return text
    if 400 <= outcome.status < 500:
        raise RequestRefused(text)
    assert outcome.status < 300, outcome
    return text


TARGETS = {
    "wire": Target(_read_wire, _wire_seeds, (wire.WireError,)),
    "pictures": Target(_read_picture, _picture_seeds, (CaptureError,)),
    "radiance": Target(_read_radiance, _radiance_seeds, (CaptureError,)),
    "recordings": Target(_read_recording, _recording_seeds, (CaptureError,)),
    "configuration": Target(_read_configuration, _configuration_seeds, (UserError,)),
    "profiles": Target(_read_profile, _profile_seeds, (CalibrationError,)),
    "onnx": Target(_read_onnx, _onnx_seeds, (EngineError,)),
    "control": Target(_read_control, _control_seeds, (RequestRefused,)),
}
