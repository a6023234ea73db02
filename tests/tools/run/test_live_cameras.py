"""A running pipeline whose camera, device and threads are changed: what the pictures say, and what outlives a kill."""

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import livemef
from livemef.fusion.stream.keys import KeyFolder
from livemef.fusion.stream.subscriber import Subscriber
from tests.tools.run.test_live_control import Controlled, ctl, header_when
from tests.tools.run.test_run import free_port

pytest.importorskip("aiohttp")

CONFIG = """
[control]
endpoint = "tcp://127.0.0.1:{port}"
[control.cameras]
wide = "sim://?size=400x300&fps=30"
gone = "v4l2:///dev/video99"
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controlled]:
    folder = tmp_path_factory.mktemp("cameras")
    runs = Path(tempfile.mkdtemp(prefix="livemef-"))  # a socket's path is short
    file, port = folder / "livemef.toml", free_port()
    file.write_text(CONFIG.format(port=port))
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
        assert run.ask("GET", "/settings")[1]["keys"]["control.camera"]["words"] == ["", "wide", "gone"]
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
