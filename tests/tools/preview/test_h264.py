"""The page's pictures as H.264: FFmpeg's decoder must find the published pictures in what is sent."""

import asyncio
import itertools
import json
import math

import aiohttp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livemef.tools.preview.h264_track import MOST_KEPT, Chunk, EncoderFailed, H264Track, chunks_after, codec_of
from livemef.tools.preview.view_message import H264, JPEG
from tests.fusion.stream.stream_samples import flat
from tests.tools.preview.preview_rig import Show, colour_of, get, serving

av = pytest.importorskip("av", reason="needs PyAV: pip install av")


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(1, 40), st.data())
def test_whoever_asks_can_decode_all_that_it_gets_and_ends_at_the_newest(keys, kept, data):
    """A model of decoders: a delta can be decoded by who has the chunk before, a key frame by all."""
    keys[0] = True
    chunks = [Chunk(7, index, is_key, b"") for index, is_key in enumerate(keys)]
    have = None
    at = 0
    while at < len(chunks):
        at += data.draw(st.integers(1, 20))
        tail = chunks[: min(at, len(chunks))][-kept:]
        if data.draw(st.booleans()) and data.draw(st.booleans()):
            have = data.draw(st.sampled_from([None, (6, 3)]))  # it left and came back; it knows an encoder before
        found = chunks_after(tail, have)
        if found is None:
            assert not any(chunk.is_key for chunk in tail)
            continue
        for chunk in found:
            assert chunk.is_key or have == (chunk.track, chunk.index - 1)
            have = chunk.position
        assert have == tail[-1].position
        assert not any(chunk.is_key for chunk in found[1:]), "a key frame makes those before it useless"


def moving(index, width=320, height=180):
    """Smooth stripes that move by a pixel a picture. BGR."""
    x, y = np.meshgrid(np.arange(width) + index, np.arange(height))
    planes = [128 + 90 * np.sin(x / 25), 128 + 90 * np.sin((x + y) / 30), 128 + 90 * np.cos(y / 20)]
    return np.rint(np.stack(planes, -1)).astype(np.uint8)


def decoded(decoder, data):
    """BGR of the only picture that FFmpeg finds."""
    [frame] = decoder.decode(av.Packet(data))
    return frame.to_ndarray(format="bgr24", src_colorspace="ITU601")


def psnr(one, other):
    return 10 * math.log10(255**2 / np.mean((one.astype(float) - other) ** 2))


def test_ffmpeg_reads_each_picture_at_once_and_can_begin_at_each_key_frame():
    track, decoder = H264Track(320, 180), av.CodecContext.create("h264", "r")
    for index in range(40):
        track.add(moving(index), key=index == 25)
        chunk = track.kept[-1]
        assert (chunk.index, chunk.is_key) == (index, index in (0, 25))
        if chunk.is_key:
            decoder = av.CodecContext.create("h264", "r")
        assert psnr(decoded(decoder, chunk.data), moving(index)) > 38
    assert track.codec.startswith("avc1.42c0"), "constrained baseline: every browser's decoder, and no delay"
    probe = av.CodecContext.create("h264", "r")
    [frame] = probe.decode(av.Packet(track_key(track)))
    assert (frame.color_range, frame.colorspace) == (1, 6), "limited range, BT.601: as OpenCV converts"


def track_key(track):
    track.add(moving(0), key=True)
    return track.kept[-1].data


def test_what_is_kept_is_bounded():
    track = H264Track(64, 48)
    for index in range(3 * MOST_KEPT):
        track.add(moving(index, 64, 48), key=False)
        assert len(track.kept) <= MOST_KEPT
        numbers = [chunk.index for chunk in track.kept]
        assert numbers == list(range(numbers[0], index + 1))
    assert sum(len(chunk.data) for chunk in track.kept) <= 2 * len(track_key(track)) + len(track.kept[-1].data)


def test_a_key_frame_without_parameters_is_refused():
    with pytest.raises(EncoderFailed, match="sequence parameters"):
        codec_of(b"\0\0\0\1\x65\1\2\3\4\5\6\7\x08")


class Browser:
    """A client of /ws that decodes as the page does."""

    def __init__(self):
        self.decoders, self.first, self.sizes = {}, True, []
        self.keys = 0

    def take(self, data):
        """Header and pictures (BGR) of a message."""
        at = 4 + int.from_bytes(data[:4], "big")
        description = json.loads(data[4:at])
        pictures = {}
        for picture in description["pictures"]:
            assert picture["type"] == H264, picture
            assert sum(chunk["bytes"] for chunk in picture["chunks"]) == picture["bytes"]
            self.sizes.append(picture["bytes"])
            for chunk in picture["chunks"]:
                self.keys += chunk["key"]
                if picture["topic"] not in self.decoders:
                    assert chunk["key"], "the first must be one that a decoder can begin with"
                    self.decoders[picture["topic"]] = av.CodecContext.create("h264", "r")
                pictures[picture["topic"]] = decoded(self.decoders[picture["topic"]], data[at : at + chunk["bytes"]])
                at += chunk["bytes"]
        assert at == len(data)
        return description, pictures


async def next_view(ws):
    while True:
        await ws.send_str("next")
        message = await ws.receive(timeout=30)
        if message.type == aiohttp.WSMsgType.BINARY:
            return message.data
        assert json.loads(message.data)["kind"] == "idle"


def looking(port, talk):
    async def run():
        async with aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{port}/ws"
            await asyncio.wait_for(talk(lambda: session.ws_connect(url, max_msg_size=0)), 60)

    asyncio.run(run())


@pytest.fixture
def served(tmp_path):
    place = f"ipc://{tmp_path}/s"
    with Show(place) as show, serving(place) as port:
        yield show, port


def test_who_asks_for_h264_gets_the_published_pictures(served):
    async def talk(connect):
        async with connect() as ws:
            await ws.send_str("h264")
            browser = Browser()
            for _ in range(20):
                description, pictures = browser.take(await next_view(ws))
                seq = description["header"]["seq"]
                assert np.abs(pictures["fused"][60, 80].astype(int) - colour_of(seq)).max() <= 6
            assert description["no_h264"] == ""
            assert pictures["exposure/1"].shape == (60, 80, 3)
            assert pictures["exposure/1"].mean() == pytest.approx(220, abs=4)
            assert pictures["motion"].mean() == pytest.approx(120, abs=4)
            assert browser.keys == 4, "one for each topic"
            await ws.send_str("jpeg")
            data = await next_view(ws)
            types = json.loads(data[4 : 4 + int.from_bytes(data[:4], "big")])["pictures"]
            assert {picture["type"] for picture in types} == {JPEG}

    looking(served[1], talk)


@pytest.mark.full
def test_late_and_slow_browsers_get_a_key_frame_and_disturb_nobody(served):
    """One looks at all, one comes late, one takes a picture each 1.3 s: by then it is behind by too much."""

    async def eager(connect, seconds, browser):
        async with connect() as ws:
            await ws.send_str("h264")
            end = asyncio.get_running_loop().time() + seconds
            while asyncio.get_running_loop().time() < end:
                browser.take(await next_view(ws))
            return browser

    async def late_and_slow(connect):
        await asyncio.sleep(1.0)
        async with connect() as ws:
            await ws.send_str("h264")
            browser = Browser()
            for _ in range(3):
                description, pictures = browser.take(await next_view(ws))
                seq = description["header"]["seq"]
                assert np.abs(pictures["fused"][60, 80].astype(int) - colour_of(seq)).max() <= 6
                await asyncio.sleep(1.3)

    async def talk(connect):
        first, _ = await asyncio.gather(eager(connect, 4.5, Browser()), late_and_slow(connect))
        assert first.keys <= 4 * 6, "at most one a second for each topic"

    looking(served[1], talk)


async def first_view(connect, words, browser):
    """The first answer's pictures: (type, number) by topic; decoded by `browser` where they are H.264."""
    async with connect() as ws:
        await ws.send_str(words)
        await ws.send_str("next")
        message = await ws.receive(timeout=30)
        assert message.type == aiohttp.WSMsgType.BINARY, message.data
        description = json.loads(message.data[4 : 4 + int.from_bytes(message.data[:4], "big")])
        if words == "h264":
            _, pictures = browser.take(message.data)
            assert np.abs(pictures["fused"][60, 80].astype(int) - colour_of(description["header"]["seq"])).max() <= 6
        return {one["topic"]: (one["type"], one["seq"]) for one in description["pictures"]}


async def stand_still(show):
    show.still.set()
    await asyncio.sleep(
        2.3
    )  # longer than a picture counts as fresh, and than between two key frames that are asked for


@pytest.mark.full
@pytest.mark.parametrize("there", ["jpeg", "h264"])
@pytest.mark.parametrize("joins", ["jpeg", "h264"])
def test_who_joins_while_the_camera_stands_still_sees_the_last_picture(served, there, joins):
    show, port = served

    async def talk(connect):
        async with connect() as ws:
            await ws.send_str(there)
            browser = Browser()
            for _ in range(10):
                data = await next_view(ws)
                if there == "h264":
                    browser.take(data)
            await ws.send_str("next")
            await stand_still(show)
            found = await first_view(connect, joins, Browser())
            kind = {"jpeg": JPEG, "h264": H264}[joins]
            assert found == dict.fromkeys(("fused", "exposure/0", "exposure/1", "motion"), (kind, show.seq))
            await ws.receive(timeout=30)
            show.still.clear()
            for _ in range(10):  # the first one goes on, with every chunk that it needs
                data = await next_view(ws)
                if there == "h264":
                    browser.take(data)

    looking(port, talk)


@pytest.mark.full
def test_who_comes_back_while_the_camera_stands_still_sees_the_last_picture(served):
    show, port = served

    async def talk(connect):
        async with connect() as ws:
            for _ in range(3):
                await next_view(ws)
            await stand_still(show)
            while (await ask(ws)).type == aiohttp.WSMsgType.BINARY:
                pass
        await asyncio.sleep(0.2)
        for words in ("h264", "jpeg"):
            found = await first_view(connect, words, Browser())
            assert found["fused"][1] == found["exposure/0"][1] == show.seq

    looking(port, talk)


async def ask(ws):
    await ws.send_str("next")
    return await ws.receive(timeout=30)


def test_what_was_seen_last_is_not_shown_once_the_camera_went_on_with_nobody_looking(served):
    show, port = served

    async def talk(connect):
        async with connect() as ws:
            await next_view(ws)
        before = show.seq
        await asyncio.sleep(0.3)
        found = await first_view(connect, "jpeg", Browser())
        assert found["fused"][1] > before + 5

    looking(port, talk)


def test_a_program_that_takes_jpeg_alone_joins_while_the_camera_stands_still(served):
    show, port = served

    async def talk(connect):
        async with connect() as ws:
            await ws.send_str("h264")
            await next_view(ws)
            await stand_still(show)
            while (await ask(ws)).type == aiohttp.WSMsgType.BINARY:
                pass
            async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/stream.mjpeg") as got:
                data = await asyncio.wait_for(got.content.readuntil(b"\xff\xd9"), 5)
            assert b"image/jpeg" in data

    looking(port, talk)


def test_jpeg_and_h264_at_once(served):
    async def talk(connect):
        async with connect() as video, connect() as plain:
            await video.send_str("h264")
            browser = Browser()
            for _ in range(8):
                data, jpeg = await asyncio.gather(next_view(video), next_view(plain))
                browser.take(data)
                assert b"image/jpeg" in jpeg
                assert H264.encode() not in jpeg
        status, png = get(served[1], "/snapshot.png")
        assert (status, png[1:4]) == (200, b"PNG")

    looking(served[1], talk)


def test_the_size_may_change_while_it_runs(tmp_path):
    sizes = itertools.cycle([(120, 160)] * 15 + [(91, 67)] * 15)
    place = f"ipc://{tmp_path}/s"
    make = lambda seq: flat(colour_of(seq), *next(sizes))  # noqa: E731
    with Show(place, make) as _, serving(place) as port:

        async def talk(connect):
            async with connect() as ws:
                await ws.send_str("h264")
                browser, shapes = Browser(), set()
                for _ in range(60):
                    _, pictures = browser.take(await next_view(ws))
                    shapes.add(pictures["fused"].shape[:2])
                assert shapes == {(120, 160), (90, 66)}, "an odd row or column is left out"

        looking(port, talk)


def test_without_pyav_the_pictures_are_jpeg_and_the_message_says_why(served, monkeypatch):
    def refuse(self, width, height):
        raise EncoderFailed("no such encoder here")

    monkeypatch.setattr(H264Track, "__init__", refuse)

    async def talk(connect):
        async with connect() as ws:
            await ws.send_str("h264")
            data = await next_view(ws)
            description = json.loads(data[4 : 4 + int.from_bytes(data[:4], "big")])
            assert {picture["type"] for picture in description["pictures"]} == {JPEG}
            assert description["no_h264"] == "no such encoder here"

    looking(served[1], talk)
