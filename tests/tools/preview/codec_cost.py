"""What the page's pictures cost as JPEG and as H.264: `python -m tests.tools.preview.codec_cost [--size 1280x720]`.

Fuses brackets of the simulated room, publishes them and their exposures again and again, and takes them from `livemef
preview` as a page does: one codec, then the other, by turns. Prints bytes, pictures and the CPU time of the preview.
"""

import argparse
import asyncio
import itertools
import os
import statistics
import tempfile
import threading
import time
from pathlib import Path

import aiohttp
import numpy as np

import livemef
from livemef.fusion.stream.header import exposure_header
from livemef.fusion.stream.publisher import Publisher
from tests.fusion.stream.stream_samples import header
from tests.tools.preview.preview_rig import preview_process

BRACKETS = 60
TICKS = os.sysconf("SC_CLK_TCK")


def brackets(camera):
    """[(exposures, fused picture)]"""
    with livemef.open_camera(camera, exposures="1ms,16ms") as opened, livemef.open_fuser() as fuser:
        found = itertools.islice(opened.brackets(), BRACKETS)
        return [([pixels.copy() for pixels in one.pixels], fuser.fuse(one).pixels.copy()) for one in found]


class Playing(threading.Thread):
    """Publishes the brackets forwards and backwards, each frame with one new exposure."""

    def __init__(self, place, taken, fps):
        super().__init__(daemon=True)
        self._place, self._taken, self._fps, self.over = place, taken, fps, threading.Event()

    def run(self):
        there_and_back = itertools.cycle([*range(len(self._taken)), *reversed(range(1, len(self._taken) - 1))])
        due_s = time.monotonic()
        with Publisher(f"pub+bind:{self._place}") as publisher:
            for seq, at in enumerate(there_and_back):
                exposures, fused = self._taken[at]
                described = header(seq, timestamp_wall_ns=time.time_ns())
                new = seq % len(exposures)
                publisher.publish(f"exposure/{new}", exposure_header(described, new), exposures[new])
                publisher.publish("motion", described, np.zeros((180, 320, 3), np.uint8))
                publisher.publish("fused", described, fused)
                due_s += 1 / self._fps
                if self.over.wait(max(0.0, due_s - time.monotonic())):
                    return


def cpu_s(pid):
    """Seconds of CPU time of a process, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


async def looked(port, codec, seconds):
    """Pictures and bytes that one page gets in `seconds`."""
    pictures = received = 0
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://127.0.0.1:{port}/ws", max_msg_size=0) as ws,
    ):
        await ws.send_str(codec)
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            await ws.send_str("next")
            message = await ws.receive(timeout=20)
            if message.type == aiohttp.WSMsgType.BINARY:
                pictures, received = pictures + 1, received + len(message.data)
    return pictures, received


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--fps", type=float, default=30)
    parser.add_argument("--scene", default="room")
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--times", type=int, default=4)
    given = parser.parse_args()
    taken = brackets(f"sim://?size={given.size}&fps={given.fps:g}&scene={given.scene}&seed=1")
    found = {"jpeg": [], "h264": []}
    with tempfile.TemporaryDirectory() as folder:
        place = f"ipc://{folder}/s"
        playing = Playing(place, taken, given.fps)
        playing.start()
        with preview_process(f"sub+connect:{place}", "--port", "0") as process:
            port = int(process.stdout.readline().strip().rstrip("/").rpartition(":")[2])
            for _ in range(given.times):
                for codec, results in found.items():
                    before = cpu_s(process.pid)
                    pictures, received = asyncio.run(looked(port, codec, given.seconds))
                    spent = cpu_s(process.pid) - before
                    results.append((pictures / given.seconds, received / pictures / 1e3, 1e3 * spent / pictures))
                    print(codec, *(f"{value:.1f}" for value in results[-1]), flush=True)
            before = cpu_s(process.pid)
            time.sleep(given.seconds)
            print(f"nobody looks: {100 * (cpu_s(process.pid) - before) / given.seconds:.1f} % of a core")
        playing.over.set()
        playing.join()
    for codec, results in found.items():
        rate, size, spent = (statistics.median(values) for values in zip(*results, strict=True))
        print(
            f"{codec}: {rate:.1f} pictures/s, {size:.1f} kB each with all small ones, {spent:.1f} ms of CPU time each; "
            f"at {given.fps:g} pictures/s {size * given.fps * 8 / 1e3:.1f} Mbit/s and "
            f"{spent * given.fps / 10:.0f} % of a core"
        )


if __name__ == "__main__":
    main()
