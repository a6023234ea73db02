"""A running pipeline whose camera, device and threads are changed: what the pictures say, and what outlives a kill."""

import os
import runpy
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import livemef
from livemef.calibration.profile import ColourSection, new_profile, now, save_profile
from livemef.capture.cameras.registry import open_camera
from livemef.fusion.stream.header import Header
from livemef.fusion.stream.keys import KeyFolder
from livemef.fusion.stream.subscriber import Subscriber
from tests.tools.run.test_live_control import Controlled, ctl, header_when, times_us
from tests.tools.run.test_run import free_port

pytest.importorskip("aiohttp")

EXAMPLES = Path(__file__).parents[3] / "examples"
CONFIG = """
[control]
endpoint = "tcp://127.0.0.1:{port}"
[control.cameras]
wide = "sim://?size=400x300&fps=30"
gone = "v4l2:///dev/video99"
macro = {{ camera = "{macro}", profile = "{profile}" }}
"""
MACRO = "sim://?size=360x200&fps=30"


def save_macro_profile(path: Path) -> None:
    """Of a camera that shows too much green and red."""
    with closing(open_camera(MACRO)) as camera:
        identity = camera.info.identity
    tint = ((1.0, 0.0, 0.0), (0.0, 0.8, 0.0), (0.0, 0.0, 0.6))
    colour = ColourSection(date=now(), matrix=tint, de00_patches=(), de00_mean=0.0, de00_p90=0.0, de00_max=0.0)
    save_profile(path, new_profile(identity).with_section(colour=colour))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controlled]:
    folder = tmp_path_factory.mktemp("cameras")
    runs = Path(tempfile.mkdtemp(prefix="livemef-"))  # a socket's path is short
    file, port = folder / "livemef.toml", free_port()
    save_macro_profile(folder / "macro.toml")
    file.write_text(CONFIG.format(port=port, macro=MACRO, profile=folder / "macro.toml"))
    with pytest.MonkeyPatch.context() as environment:
        for name in ("STATE", "DATA", "CONFIG"):
            environment.setenv(f"XDG_{name}_HOME", str(folder))
        environment.setenv("XDG_RUNTIME_DIR", str(runs))
        keys = KeyFolder()
        own = keys.create("both")
        keys.trust(f"127.0.0.1:{port}", own.public)
        keys.allow(own.public, may_control=True)
        controlled = Controlled("--config", str(file), "--motion", "off")
        controlled.runs, controlled.control = runs, f"tcp://127.0.0.1:{port}"  # type: ignore[attr-defined]
        yield controlled
    controlled.pipeline.process.kill()
    controlled.pipeline.process.wait()
    shutil.rmtree(runs)


def test_a_camera_is_chosen_by_name_over_tcp_and_outlives_a_kill(run: Controlled) -> None:
    address: str = run.control  # type: ignore[attr-defined]
    events: list[livemef.StreamEvent] = []
    endpoint = f"sub+connect:{run.pipeline.endpoint}"
    with Subscriber(endpoint, on_event=events.append) as subscriber, livemef.control(address) as control:
        first = header_when(subscriber, lambda header: True)
        assert first.width == 320
        assert run.ask("GET", "/settings")[1]["keys"]["control.camera"]["words"] == ["", "wide", "gone", "macro"]
        revision = control.set({"control.camera": "wide"})
        wide = header_when(subscriber, lambda header: header.width == 400)
        assert (wide.height, wide.settings_rev, wide.stream) == (300, revision, first.stream)
        assert wide.epoch > first.epoch
        changed = [event.data for event in events if event.event == "settings"]
        assert changed == [
            {
                "revision": revision,
                "who": "python with key both",
                "changed": {"control.camera": "wide"},
                "action": "set",
            }
        ]
        os.kill(run.pipeline.children()["capture"], signal.SIGKILL)
        again = header_when(subscriber, lambda header: header.epoch > wide.epoch)
        assert again.width == 400
        with pytest.raises(livemef.ControlError, match="'wide'") as caught:
            control.set({"control.camera": "front"})
        assert caught.value.status == 422

        control.set({"control.camera": "gone"})
        end = time.monotonic() + 40
        while "video99" not in control.status["processes"]["capture"]["reason"]:
            assert time.monotonic() < end
            time.sleep(0.2)
        assert ctl(run, "set", "control.camera=wide", "--at", address).startswith("revision ")
        header_when(subscriber, lambda header: header.width == 400 and header.epoch > again.epoch)
        control.revert()
        back = header_when(subscriber, lambda header: header.width == 320)
        assert back.stream == first.stream
        assert {"settings", "process", "plan"} <= {event.event for event in events}


@dataclass
class Parameter:
    """As rclpy's, of which the example uses no more."""

    name: str
    value: Any


class RosNode:
    """What the example uses of rclpy.node.Node: ROS is no package of PyPI or Debian, so it runs without it here."""

    def __init__(self, **launched: Any) -> None:
        self.launched, self.values, self.described = launched, {}, {}  # type: ignore[var-annotated]

    def declare_parameter(self, name: str, value: Any, descriptor: Any) -> Parameter:
        self.values[name], self.described[name] = self.launched.get(name, value), descriptor.description
        return Parameter(name, self.values[name])

    def add_on_set_parameters_callback(self, callback: Any) -> None:
        self.change = callback


def test_the_ros_example_s_parameters_change_the_run(run: Controlled, monkeypatch: pytest.MonkeyPatch) -> None:
    messages, nodes = ModuleType("rcl_interfaces.msg"), ModuleType("rclpy.node")
    messages.ParameterDescriptor = messages.SetParametersResult = SimpleNamespace  # type: ignore[attr-defined]
    nodes.Node = RosNode  # type: ignore[attr-defined]
    for name, module in (("rcl_interfaces.msg", messages), ("rclpy.node", nodes)):
        monkeypatch.setitem(sys.modules, name.partition(".")[0], ModuleType(name.partition(".")[0]))
        monkeypatch.setitem(sys.modules, name, module)
    example = runpy.run_path(str(EXAMPLES / "ros2_parameters.py"))
    node = RosNode(**{"fusion.gamma": 1.25, "fusion.motion": False})
    with livemef.control(run.control) as control:  # type: ignore[attr-defined]
        example["declare_settings"](node, control)
        assert node.values.keys() == control.settings.keys()
        assert all(node.described.values())
        assert (control.settings["fusion.gamma"], control.settings["fusion.motion"]) == (1.25, "off")
        plan = [Parameter("capture.exposures", "2ms,8ms"), Parameter("fusion.gamma", "adaptive"), Parameter("other", 1)]
        assert node.change(plan).successful
        refused = node.change([Parameter("fusion.gamma", 99)])
        assert not refused.successful
        assert "0.25..4" in refused.reason
        assert control.settings["fusion.gamma"] == "adaptive"
        with Subscriber(f"sub+connect:{run.pipeline.endpoint}") as subscriber:
            header = header_when(subscriber, lambda header: header.fusion["gamma"] == "adaptive")
            assert header_when(subscriber, lambda header: times_us(header) == [2000.0, 8000.0]).epoch >= header.epoch
        control.revert()


@pytest.mark.slow
def test_a_camera_s_profile_changes_its_pixels_and_no_other_camera_s(run: Controlled) -> None:
    seen: list[tuple[int, str, tuple[str, ...]]] = []

    def size_is(width: int) -> Callable[[Header], bool]:
        def fits(header: Header) -> bool:
            seen.append((header.width, header.profile.partition("@")[0], header.correction))
            return header.width == width

        return fits

    with Subscriber(f"sub+connect:{run.pipeline.endpoint}") as subscriber:
        for name, width in (("macro", 360), ("wide", 400), ("macro", 360), ("", 320)):
            assert run.ask("PATCH", "/settings/control", {"camera": name})[0] == 200
            header_when(subscriber, size_is(width))
    for width, profile, correction in seen:
        assert (profile, correction) == (("macro.toml", ("colour",)) if width == 360 else ("", ())), seen
    assert {width for width, _, _ in seen} == {320, 360, 400}


def test_threads_and_device_start_fusion_again(run: Controlled) -> None:
    with Subscriber(f"sub+connect:{run.pipeline.endpoint}") as subscriber:
        first = header_when(subscriber, lambda header: True)
        run.ask("PATCH", "/settings/fusion", {"gamma": 0.7})
        status, changed = run.ask("PATCH", "/settings/runtime", {"threads": 1, "device": "cpu"})
        assert (status, changed["values"]) == (200, {"device": "cpu", "threads": 1})
        later = header_when(subscriber, lambda header: header.stream != first.stream)
        assert (later.fusion["gamma"], later.settings_rev) == (0.7, changed["revision"])
        if not Path("/proc/driver/nvidia").exists():
            status, refused = run.ask("PATCH", "/settings/runtime", {"device": "cuda"})
            assert (status, refused["errors"][0]["key"]) == (422, "runtime.device")
