"""`livemef foxglove`: what a WebSocket client of Foxglove's protocol and the readers of MCAP see of it."""

import asyncio
import base64
import json
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

import livemef
from livemef.calibration.profile import GeometrySection, save_profile
from livemef.fusion.stream.subscriber import Subscriber
from tests.calibration.test_profile import profile
from tests.tools.run.test_run import Pipeline
from tests.tools.video.pictures_source import HEIGHT, LEFT, WIDTH, Source, picture

pytest.importorskip("foxglove", reason="needs the extra foxglove")
LIMIT_S = 60
NODE_FOLDER = Path(__file__).parents[2] / "build" / "mcap"
GEOMETRY = GeometrySection(
    date="2026-01-01",
    camera_matrix=((900.0, 0.0, 80.0), (0.0, 901.0, 60.0), (0.0, 0.0, 1.0)),
    distortion=(0.1, -0.05, 0.001, 0.002, 0.01),
    views=12,
    rms_px=0.2,
)


def bridge(*words):
    command = [sys.executable, "-m", "livemef.tools.cli", "foxglove", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def bridged(*words, code=0):
    with bridge(*words) as process:
        out, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == code, out + err
    return out, err


@pytest.fixture
def endpoint(tmp_path):
    with Source(f"ipc://{tmp_path}/s"):
        yield f"ipc://{tmp_path}/s"


@contextmanager
def running(*words):
    """The bridge, and the address that it prints."""
    with bridge(*words, "--port", 0) as process:
        try:
            yield re.search(r"ws://\S+", process.stdout.readline())[0], process
        finally:
            process.kill()


async def received(url, topic):
    """A message of a topic, as Foxglove's WebSocket protocol (foxglove.sdk.v1) has it: time in ns, payload."""
    import aiohttp

    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, protocols=["foxglove.sdk.v1"], max_msg_size=0) as socket,
    ):
        async for part in socket:
            if part.type == aiohttp.WSMsgType.TEXT:
                for channel in json.loads(part.data).get("channels", []):
                    if channel["topic"] == topic:
                        wish = {"op": "subscribe", "subscriptions": [{"id": 7, "channelId": channel["id"]}]}
                        await socket.send_str(json.dumps(wish))
            elif part.data[0] == 1:
                _, number, nanoseconds = struct.unpack("<BIQ", part.data[:13])
                assert number == 7
                return nanoseconds, part.data[13:]
    raise AssertionError("the server ended the connection")


def test_a_client_of_foxgloves_protocol_sees_pictures_and_headers(endpoint):
    with running(endpoint) as (url, _):
        stamp, payload = asyncio.run(asyncio.wait_for(received(url, "/livemef/fused"), LIMIT_S))
        _, text = asyncio.run(asyncio.wait_for(received(url, "/livemef/header"), LIMIT_S))
    assert abs(stamp - time.time_ns()) < LIMIT_S * 1e9
    jpeg = payload[payload.index(b"\xff\xd8") :]
    np.testing.assert_allclose(cv2.imdecode(np.frombuffer(jpeg, np.uint8), 1)[60, 20], LEFT, atol=6)
    assert json.loads(text)["width"] == WIDTH


def messages_in(path):
    """Every message of an MCAP file by the format's own reader, decoded by the schema in the file."""
    from mcap.reader import make_reader
    from mcap_protobuf.decoder import DecoderFactory

    with path.open("rb") as file:
        reader = make_reader(file, decoder_factories=[DecoderFactory()])
        assert reader.get_summary() is not None
        for schema, channel, message in reader.iter_messages():
            decoded = DecoderFactory().decoder_for(channel.message_encoding, schema)
            data = json.loads(message.data) if decoded is None else decoded(message.data)
            yield channel.topic, message.log_time, data


def test_a_recording_is_read_by_mcaps_own_reader(endpoint, tmp_path):
    save_profile(tmp_path / "camera.toml", profile(geometry=GEOMETRY))
    arguments = ("--mcap", tmp_path / "take.mcap", "--frames", 5, "--port", 0, "--profile", tmp_path / "camera.toml")
    out, err = bridged(endpoint, *arguments)
    assert (out.splitlines()[-1].split(",")[0], err) == ("5 pictures", "")
    found = list(messages_in(tmp_path / "take.mcap"))
    assert sorted({topic for topic, _, _ in found}) == ["/livemef/calibration", "/livemef/fused", "/livemef/header"]
    images = [data for topic, _, data in found if topic == "/livemef/fused"]
    assert len(images) == 5
    decoded = cv2.imdecode(np.frombuffer(images[-1].data, np.uint8), 1)
    assert (images[-1].format, images[-1].frame_id, decoded.shape) == ("jpeg", "camera", (HEIGHT, WIDTH, 3))
    times = [log_time for topic, log_time, _ in found if topic == "/livemef/fused"]
    assert times == sorted(times)
    calibration = next(data for topic, _, data in found if topic == "/livemef/calibration")
    np.testing.assert_array_equal(calibration.K, np.ravel(GEOMETRY.camera_matrix))
    np.testing.assert_array_equal(calibration.D, GEOMETRY.distortion)


@pytest.mark.full
@pytest.mark.skipif(
    not (NODE_FOLDER / "node_modules" / "@mcap").is_dir() or shutil.which("node") is None,
    reason=f"needs node 20 and: npm install --prefix {NODE_FOLDER} @mcap/core",
)
def test_a_recording_is_read_by_foxgloves_own_reader(endpoint, tmp_path):
    bridged(endpoint, "--mcap", tmp_path / "take.mcap", "--frames", 5, "--port", 0)
    script = Path(__file__).with_name("mcap_reader.mjs")
    command = ["node", script, NODE_FOLDER / "node_modules", tmp_path / "take.mcap"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=True)
    topics = json.loads(done.stdout)
    fused = topics["/livemef/fused"]
    assert (fused["schema"], fused["encoding"], len(fused["times"])) == ("foxglove.CompressedImage", "protobuf", 5)
    assert sorted(fused["times"], key=int) == fused["times"]
    payload = base64.b64decode(fused["last"])
    jpeg = np.frombuffer(payload[payload.index(b"\xff\xd8") :], np.uint8)
    np.testing.assert_allclose(cv2.imdecode(jpeg, 1)[60, 20], LEFT, atol=6)
    assert json.loads(base64.b64decode(topics["/livemef/header"]["last"]))["width"] == WIDTH


def test_raw_pictures_are_exact(tmp_path):
    with Source(f"ipc://{tmp_path}/w", picture(dtype=np.uint16)):
        bridged(f"ipc://{tmp_path}/w", "--raw", "--mcap", tmp_path / "take.mcap", "--frames", 1, "--port", 0)
    image = next(data for topic, _, data in messages_in(tmp_path / "take.mcap") if topic == "/livemef/fused")
    pixels = np.frombuffer(image.data, np.uint8).reshape(image.height, image.step)
    assert (image.encoding, image.width) == ("bgr8", WIDTH)
    np.testing.assert_array_equal(pixels, picture().reshape(HEIGHT, -1))


def test_ctrl_c_leaves_a_whole_recording(endpoint, tmp_path):
    with running(endpoint, "--mcap", tmp_path / "take.mcap") as (_, process):
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, err) == (0, "")
    assert len([topic for topic, _, _ in messages_in(tmp_path / "take.mcap") if topic == "/livemef/fused"]) == int(
        re.search(r"(\d+) pictures", out)[1]
    )


async def changed(url, name, value):
    """Subscribe to a parameter, set it; returns its values as they come, up to the one set, and the status lines."""
    import aiohttp

    seen, complaints = [], []
    async with aiohttp.ClientSession() as session, session.ws_connect(url, protocols=["foxglove.sdk.v1"]) as socket:
        await socket.send_json({"op": "subscribeParameterUpdates", "parameterNames": [name]})
        await socket.send_json({"op": "getParameters", "parameterNames": [name], "id": "get"})
        await socket.send_json({"op": "setParameters", "parameters": [{"name": name, "value": value}], "id": "set"})
        async for part in socket:
            told = json.loads(part.data) if part.type == aiohttp.WSMsgType.TEXT else {}
            if told.get("op") == "status":
                complaints.append(told["message"])
            if told.get("op") == "parameterValues":
                seen += [entry["value"] for entry in told["parameters"] if entry["name"] == name]
                if told.get("id") == "set":
                    return seen, complaints
    raise AssertionError("the server ended the connection")


@pytest.fixture
def short_folder():
    """A folder whose path leaves room for a socket's name."""
    with tempfile.TemporaryDirectory(prefix="livemef-") as folder:
        yield folder


def test_a_parameter_changes_the_running_pipeline(tmp_path, short_folder, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", short_folder)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    pipeline = Pipeline("--motion", "off")
    try:
        Subscriber(pipeline.endpoint).receive(LIMIT_S)
        with (
            running(pipeline.endpoint, "--control", "--timeout", LIMIT_S) as (url, process),
            livemef.control() as camera,
        ):
            before = camera.settings["fusion.gamma"]
            seen, complaints = asyncio.run(asyncio.wait_for(changed(url, "fusion.gamma", 0.7), LIMIT_S))
            assert (seen[0], seen[-1], complaints) == (before, 0.7, [])
            assert camera.settings["fusion.gamma"] == 0.7
            seen, complaints = asyncio.run(asyncio.wait_for(changed(url, "fusion.gamma", 99), LIMIT_S))
            assert seen[-1] == 0.7
            assert "fusion.gamma" in complaints[0]
            seen, _ = asyncio.run(asyncio.wait_for(changed(url, "runtime.model", "/etc/passwd"), LIMIT_S))
            assert seen == []
            asyncio.run(asyncio.wait_for(received(url, "/livemef/header"), LIMIT_S))
            process.send_signal(signal.SIGINT)
            assert "Callback failed" not in process.communicate(timeout=LIMIT_S)[1]
    finally:
        pipeline.end()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--host", "0.0.0.0"], "knows no password"),
        (["--host", "no.such.host.invalid", "--insecure"], "cannot be served"),
        (["--mcap", "take.bag"], "must end in .mcap"),
        (["--mcap", "there.mcap"], "is there already"),
        (["--mcap", "nowhere/take.mcap"], "cannot be written"),
        (["--profile", "nowhere.toml"], "nowhere.toml"),
        (["--topics", "fuse"], "fuse"),
        (["--at", "http://127.0.0.1:1"], "say both"),
        (["--control", "--at", "http://127.0.0.1:1"], "does not answer"),
    ],
)
def test_wrong_words(words, said, endpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.mcap").write_bytes(b"")
    _, err = bridged(endpoint, *words, "--port", 0, "--timeout", 2, code=2)
    assert said in err
    assert err.count("\n") == 1


def test_a_recording_ends_whole_before_the_disk_is_full(endpoint, tmp_path):
    """The disk's free space is a made-up number; the file, its writer and its reader are real."""
    script = (
        "import collections, itertools, shutil, sys\n"
        "from livemef.tools import cli, foxglove_bridge\n"
        "Usage = collections.namedtuple('Usage', 'total used free')\n"
        "free = itertools.chain([1 << 30] * 3, itertools.repeat(0))\n"
        "foxglove_bridge.shutil.disk_usage = lambda folder: Usage(1 << 31, 0, next(free))\n"
        "sys.exit(cli.main())\n"
    )
    arguments = ["foxglove", endpoint, "--mcap", str(tmp_path / "take.mcap"), "--port", "0"]
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 2
    assert "MiB are free" in done.stderr
    assert len([topic for topic, _, _ in messages_in(tmp_path / "take.mcap") if topic == "/livemef/fused"]) == 3
    assert [file.name for file in tmp_path.glob("*.mcap")] == ["take.mcap"]


def test_a_recording_that_cannot_be_finished_is_no_bug(endpoint, tmp_path):
    """A limit on the size of files stands for a disk that is full in spite of the watch over its room."""
    script = (
        "import resource, sys\n"
        "from livemef.tools import cli\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))\n"
        "sys.exit(cli.main())\n"
    )
    arguments = ["foxglove", endpoint, "--mcap", str(tmp_path / "take.mcap"), "--port", "0", "--raw", "--frames", "20"]
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 2
    assert "cannot be finished" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "take.mcap").exists()
