import asyncio
import json
import multiprocessing
import os
import signal
import socket

import aiohttp
import cv2
import numpy as np
import pytest
import zmq
from prometheus_client.parser import text_string_to_metric_families

from livemef.fusion.errors import FusionError
from livemef.tools.preview.access import check_listen, names_this_machine, same_origin
from livemef.tools.preview.page_job import PageJob
from livemef.tools.preview.process import main as preview_main
from livemef.tools.preview.view_message import packed
from livemef.tools.preview.views import scaled_to
from tests.fusion.stream.stream_samples import flat, ramp
from tests.fusion.stream.test_publisher import until
from tests.tools.preview.preview_rig import Show, colour_of, get, get_when, preview_process, serving

ROUTES = ("/", "/ws", "/healthz", "/metrics", "/snapshot.jpg", "/snapshot.png")


@pytest.fixture
def place(tmp_path):
    return f"ipc://{tmp_path}/s"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "localhost", "::1"])
def test_loopback_needs_no_token(host):
    check_listen(host, None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "camera.example", ""])
def test_any_other_address_needs_one(host):
    with pytest.raises(FusionError, match="set a token"):
        check_listen(host, None)
    check_listen(host, "secret")
    with pytest.raises(FusionError, match="empty"):
        check_listen(host, "")


def test_foreign_names_and_pages_are_told_apart():
    assert names_this_machine("localhost:8080")
    assert names_this_machine("[::1]:8080")
    assert not names_this_machine("evil.example:8080")
    assert not names_this_machine(None)
    assert same_origin("http://127.0.0.1:8080", "127.0.0.1:8080")
    assert same_origin(None, "127.0.0.1:8080")
    assert not same_origin("http://evil.example", "127.0.0.1:8080")


def test_views_keep_the_pictures_shape_and_level():
    assert scaled_to(np.zeros((1080, 1920, 3), np.uint8), 1280).shape == (720, 1280, 3)
    assert scaled_to(np.zeros((100, 100, 3), np.uint8), 1280).shape == (100, 100, 3)
    assert scaled_to(np.zeros((1, 9000, 3), np.uint16), 640).shape == (1, 640, 3)


def unpacked(message):
    length = int.from_bytes(message[:4], "big")
    description, at, pictures = json.loads(message[4 : 4 + length]), 4 + length, {}
    for one in description["pictures"]:
        jpeg = np.frombuffer(message[at : at + one["bytes"]], np.uint8)
        pictures[one["topic"]] = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
        at += one["bytes"]
    assert at == len(message)
    return description, pictures


def test_packing_puts_the_pictures_after_their_description():
    jpeg = cv2.imencode(".jpg", ramp(np.uint8, 8, 8))[1].reshape(-1)
    description, pictures = unpacked(packed({"pictures": [{"topic": "fused", "bytes": jpeg.nbytes}]}, [jpeg]))
    assert description["pictures"][0]["topic"] == "fused"
    assert pictures["fused"].shape == (8, 8, 3)


def test_scopes_and_large_pictures_are_there_for_who_asks(place):
    async def views_of(port, *wishes):
        async with aiohttp.ClientSession() as session, session.ws_connect(f"http://127.0.0.1:{port}/ws") as ws:
            for wish in wishes:
                await ws.send_str(wish)
            for _ in range(3):
                await ws.send_str("next")
                message = await ws.receive(timeout=30)
            return unpacked(message.data)

    wide = lambda seq: flat(colour_of(seq), 12, 2000)  # noqa: E731
    with Show(place, wide) as show, serving(place) as port:
        until(lambda: show.seq > 1)
        description, pictures = asyncio.run(views_of(port))
        assert "scopes" not in description
        assert set(pictures) == {"fused", "exposure/0", "exposure/1", "motion"}
        assert pictures["fused"].shape[1] == 1280
        description, pictures = asyncio.run(views_of(port, "scopes", "large exposure/1 motion"))
        assert set(description["scopes"]) == {"fused", "exposure/0", "exposure/1"}
        exposure = description["scopes"]["exposure/1"]
        assert exposure["histogram"]["y"][220] == exposure["pixels"]
        assert pictures["waveform/fused"].shape[:2] == (128, 256)
        description, _ = asyncio.run(views_of(port, "scopes", "no scopes"))
        assert "scopes" not in description


@pytest.mark.parametrize("words", ["large", "large ../secret", "large " + "fused " * 4, "Next", "scopes please"])
def test_who_asks_for_what_no_page_asks_for_is_disconnected(place, words):
    async def told(port):
        async with aiohttp.ClientSession() as session, session.ws_connect(f"http://127.0.0.1:{port}/ws") as ws:
            await ws.send_str(words)
            return (await ws.receive(timeout=30)).type

    with serving(place) as port:
        assert asyncio.run(told(port)) in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)


def test_health_metrics_and_page(place):
    with serving(place) as port:
        status, body = get(port, "/healthz")
        assert status == 503
        assert json.loads(body)["status"] == "no frames"
        with Show(place) as show:
            healthy = json.loads(get_when(port, "/healthz", 200))
            assert healthy["frames"] >= 1
            assert healthy["latency_ms"] >= 0
            assert not show.wanted  # headers alone
        status, body = get(port, "/metrics")
        values = {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(body.decode())
            for sample in family.samples
        }
        assert values["livemef_frames_total",] >= healthy["frames"]
        assert values["livemef_frames_missed_total",] == 0
        assert values["livemef_pipeline_frames_total", "captured"] == 100
        assert values["livemef_stage_seconds", "network"] == pytest.approx(0.0135)
        assert values["livemef_ev_gap",] == 4.0
        status, body = get(port, "/")
        assert status == 200
        assert b"<canvas" in body
        get_when(port, "/healthz", 503)
        assert get(port, "/nothing")[0] == 404


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_snapshots_are_the_newest_picture_at_full_size(place, dtype):
    with serving(place) as port, Show(place, make=lambda seq: ramp(dtype, 90, 1500)) as show:
        body = get_when(port, "/snapshot.png", 200)
        picture = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(picture, ramp(dtype, 90, 1500))
        jpeg = cv2.imdecode(np.frombuffer(get(port, "/snapshot.jpg")[1], np.uint8), cv2.IMREAD_UNCHANGED)
        assert (jpeg.dtype, jpeg.shape) == (np.uint8, (90, 1500, 3))
        until(lambda: "exposure/0" not in show.wanted)


def test_no_snapshot_without_frames(place):
    with serving(place) as port:
        status, body = get(port, "/snapshot.jpg")
    assert status == 503
    assert b"no frame" in body


def test_every_route_needs_the_token(place):
    with serving(place, token="s3cret") as port:
        for route in ROUTES:
            assert get(port, route)[0] == 401
        assert get(port, "/metrics", Authorization="Bearer s3cret", Host="camera.example")[0] == 200
        assert get(port, "/healthz?token=s3cret")[0] == 503
        for route in ROUTES[:4]:
            assert get(port, f"{route}?token=wrong")[0] == 401
            assert get(port, route, Authorization="Bearer wrong")[0] == 401


def test_without_a_token_only_loopback_names_are_answered(place):
    with serving(place) as port:
        for route in ROUTES:
            assert get(port, route, Host="evil.example")[0] == 403
        upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
        assert get(port, "/ws", Origin="http://evil.example", **upgrade)[0] == 403


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_of_its_own_ends_when_told(place, number):
    with preview_process(f"sub+connect:{place}", "--port", "0") as process:
        url = process.stdout.readline().removeprefix("preview at ").strip()
        assert get(int(url.rstrip("/").rpartition(":")[2]), "/healthz")[0] == 503
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "preview ended\n", "")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["sub+connect:tcp://127.0.0.1:5556", "--host", "0.0.0.0"], "set a token"),
        (["sub+connect:udp://127.0.0.1:5556", "--port", "0"], "'udp' is not known"),
        (["sub+connect:tcp://127.0.0.1:5556", "--port", "70000"], "65535"),
    ],
)
def test_wrong_arguments_are_one_line(arguments, says):
    with preview_process(*arguments) as process:
        _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert err.count("\n") == 1
    assert says in err


def test_an_occupied_port_is_one_line(place):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with preview_process(f"sub+connect:{place}", "--port", str(port)) as process:
            _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert err.count("\n") == 1
    assert f"127.0.0.1:{port}" in err
    assert "in use" in err


async def with_socket(port, talk):
    async with aiohttp.ClientSession() as session, session.ws_connect(f"http://127.0.0.1:{port}/ws") as ws:
        await asyncio.wait_for(talk(ws), 30)


async def next_view(ws):
    while True:
        await ws.send_str("next")
        message = await ws.receive()
        if message.type == aiohttp.WSMsgType.BINARY:
            return unpacked(message.data)
        assert json.loads(message.data)["kind"] == "idle"


def test_views_come_only_when_asked_for_and_are_the_newest(place):
    """A client that takes half a second for a picture gets the newest after it, not the next in a queue."""

    async def talk(ws):
        assert (await ws_silence(ws)) is None
        for _ in range(3):
            description, pictures = await next_view(ws)
            assert description["header"]["seq"] >= show.seq - 12
            assert np.abs(pictures["fused"][60, 80].astype(int) - colour_of(description["header"]["seq"])).max() < 12
            await asyncio.sleep(0.5)
        before = show.seq
        description, pictures = await next_view(ws)
        assert description["header"]["seq"] >= before - 12
        assert pictures["exposure/0"].mean() < 60
        assert pictures["exposure/1"].mean() > 200
        assert [picture["topic"] for picture in description["pictures"]] == [
            "fused",
            "exposure/0",
            "exposure/1",
            "motion",
        ]
        assert description["pictures"][1]["source"]["measured"]["exposure_us"] == 999.5
        assert description["pictures"][3]["motion"] == {"reference": 1, "share": 0.125, "shift_px": [1.5, -0.25]}

    with Show(place) as show, serving(place) as port:
        get_when(port, "/healthz", 200)
        asyncio.run(with_socket(port, talk))


async def ws_silence(ws):
    try:
        return await ws.receive(timeout=0.3)
    except asyncio.TimeoutError:
        return None


def test_pictures_flow_only_while_somebody_looks(place):
    async def talk(ws):
        await next_view(ws)
        await asyncio.to_thread(until, lambda: "exposure/1" in show.wanted)
        await ws.send_str("pause")
        await asyncio.to_thread(until, lambda: "exposure/1" not in show.wanted)
        await next_view(ws)
        await asyncio.to_thread(until, lambda: "exposure/1" in show.wanted)

    with Show(place) as show, serving(place) as port:
        asyncio.run(with_socket(port, talk))
        until(lambda: "exposure/1" not in show.wanted)


def test_standing_still_is_told_and_ends_by_itself(place):
    async def talk(ws):
        await next_view(ws)
        show.still.set()
        await asyncio.sleep(0.1)
        idle = {"stats": {"silent_s": 0.0}}
        while idle["stats"]["silent_s"] < 1.0:
            await ws.send_str("next")
            message = await ws.receive()
            if message.type == aiohttp.WSMsgType.TEXT:
                idle = json.loads(message.data)
        assert idle["header"]["seq"] <= show.seq
        show.still.clear()
        assert (await next_view(ws))[0]["header"]["seq"] > idle["header"]["seq"]

    with Show(place) as show, serving(place) as port:
        asyncio.run(with_socket(port, talk))


def test_foreign_and_damaged_messages_do_no_harm(place):
    context = zmq.Context()
    publisher = context.socket(zmq.XPUB)
    publisher.bind(place)
    try:
        with serving(place) as port:
            assert publisher.recv() == b"\x01status"
            publisher.send_multipart([b"status", b"nonsense", b""])
            publisher.send(b"status alone")
            until(lambda: json.loads(get(port, "/healthz")[1])["malformed"] == 2)
    finally:
        context.destroy(linger=0)


def test_the_watched_process_reports_and_ends_with_its_supervisor(place):
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    source = f"sub+connect:{place}"
    process = spawn.Process(target=preview_main, args=(theirs, os.getpid(), PageJob(source, "127.0.0.1", 0)))
    process.start()
    theirs.close()
    try:
        assert ours.poll(30)
        assert ours.recv().kind == "ask"
        assert ours.poll(30)
        report = ours.recv()
        assert report.kind == "ready"
        port = int(report.values["url"].rstrip("/").rpartition(":")[2])
        assert get(port, "/healthz")[0] == 503
        assert ours.poll(30)
        assert ours.recv().kind == "beat"
        ours.close()
        process.join(30)
        assert process.exitcode == 0
    finally:
        process.kill()
        process.join()
