"""Preview servers, and a publisher for them to show."""

import asyncio
import contextlib
import http.client
import os
import subprocess
import sys
import threading
import time

from livemef.fusion.stream.header import exposure_header
from livemef.fusion.stream.publisher import Publisher
from livemef.tools.preview.page_job import PageJob
from livemef.tools.preview.server import Preview, serve
from tests.fusion.stream.stream_samples import flat, header


@contextlib.contextmanager
def preview_process(*arguments, token=None):
    environment = {**os.environ, **({"LIVEMEF_PREVIEW__TOKEN": token} if token is not None else {})}
    command = [sys.executable, "-m", "livemef", "preview", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


class Served(threading.Thread):
    """A preview in a thread of the tests: real sockets, without the time that a process takes to start."""

    def __init__(self, source, token, port):
        super().__init__(daemon=True)
        self._preview = Preview(PageJob(f"sub+connect:{source}", "127.0.0.1", port, token))
        self.over, self.ready, self.url = threading.Event(), threading.Event(), ""

    def run(self):
        asyncio.run(serve(self._preview, self.over.is_set, lambda: None, self._note_ready))

    def _note_ready(self, url):
        self.url = url
        self.ready.set()


@contextlib.contextmanager
def serving(source, token=None, port=0):
    """A preview of `source`; gives its port."""
    served = Served(source, token, port)
    served.start()
    assert served.ready.wait(30)
    try:
        yield int(served.url.rstrip("/").rpartition(":")[2])
    finally:
        served.over.set()
        served.join(30)
        assert not served.is_alive()


def get(port, path, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def get_when(port, path, status, timeout_s=30):
    """The body, as soon as the answer has that status."""
    end = time.monotonic() + timeout_s
    while True:
        found, body = get(port, path)
        if found == status:
            return body
        assert time.monotonic() < end, (found, body)
        time.sleep(0.05)


def colour_of(seq):
    """A colour that tells the picture's number, coarse enough to survive JPEG. BGR."""
    return (40 + seq * 48 % 192, 40 + seq * 96 % 192, 128)


class Show(threading.Thread):
    """Publishes flat pictures in the colours of their numbers, with two exposures and a motion mask, every 20 ms until
    told to stop.
    """

    def __init__(self, place, make=lambda seq: flat(colour_of(seq)), period_s=0.02):
        super().__init__(daemon=True)
        self._place, self._make, self._period_s = place, make, period_s
        self._over, self.still = threading.Event(), threading.Event()
        self.seq, self.ready, self.wanted = -1, threading.Event(), set()

    def run(self):
        with Publisher(f"pub+bind:{self._place}") as publisher:
            self.ready.set()
            while not self._over.wait(self._period_s):
                self.wanted = {topic for topic in ("fused", "exposure/0", "exposure/1") if publisher.wanted(topic)}
                if self.still.is_set():
                    continue
                self.seq += 1
                described = header(self.seq, timestamp_wall_ns=time.time_ns())
                for index in range(2):
                    level = (40, 40, 40) if index == 0 else (220, 220, 220)
                    publisher.publish(f"exposure/{index}", exposure_header(described, index), flat(level, 60, 80))
                publisher.publish("motion", described, flat((120, 120, 120), 18, 32))
                publisher.publish("fused", described, self._make(self.seq))

    def __enter__(self):
        self.start()
        assert self.ready.wait(30)
        return self

    def __exit__(self, *_):
        self._over.set()
        self.join()
