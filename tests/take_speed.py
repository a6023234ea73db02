"""How long a take of field capture lasts, from the request to "stored": python -m tests.take_speed

Opens a session on the simulated camera at 30 frames/s, takes an object again and again, and counts the live pictures
before and meanwhile. The second copy is not part of it.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from livemef.fusion.stream.subscriber import Subscriber
from livemef.fusion.stream.wire import peek
from tests.tools.field.session_rig import Session, make_project

CAMERA = "sim://?scene=target&motion=0&fps=30&size="
REST_S = 1.0
BEFORE_S = 5.0
TICKS = os.sysconf("SC_CLK_TCK")


class LivePictures(threading.Thread):
    """When each fused picture came: from the headers of topic `status`."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(daemon=True)
        self._subscriber = Subscriber(f"sub+connect:{endpoint}", ("status",))
        self.times: list[float] = []

    def run(self) -> None:
        while True:
            if self._subscriber.poll(1.0):
                peek(self._subscriber._socket.recv_multipart())
                self.times.append(time.monotonic())

    def rate(self, spans: list[tuple[float, float]]) -> float:
        """Pictures a second within spans of time."""
        count = sum(began <= moment < ended for moment in self.times for began, ended in spans)
        return count / sum(ended - began for began, ended in spans)


def cpu_s(pid: int) -> float:
    """CPU time of a process so far, its threads included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def children(pid: int) -> list[int]:
    return [int(one) for path in Path(f"/proc/{pid}/task").glob("*/children") for one in path.read_text().split()]


def taken(session: Session, number: int) -> tuple[float, float]:
    """When a take was asked for, and when its "stored" was printed."""
    began = time.monotonic()
    status, answer = session.call("POST", "session/take", {"id": f"KR-{number}"})
    assert status in (200, 202), answer
    assert session.process.stdout is not None
    while (event := json.loads(session.process.stdout.readline()))["event"] != "stored":
        assert event["event"] != "refused", event
    return began, time.monotonic()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--frames", type=int, default=8, help="of each of three exposures")
    parser.add_argument("--developed", action="store_true", help="sources as developed by the camera, not raw")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="livemef-") as folder:
        endpoint = f"ipc://{folder}/live"
        keys = {"frames": given.frames, "before_first": False, "raw": not given.developed}
        project = make_project(Path(folder) / "museum", CAMERA + given.size, **keys)
        session = Session(project, "--publish", f"pub+bind:{endpoint}")
        try:
            pictures = LivePictures(endpoint)
            pictures.start()
            time.sleep(3 * REST_S)
            before = time.monotonic(), time.monotonic() + BEFORE_S
            time.sleep(BEFORE_S)
            pipeline = children(session.process.pid)
            spans, own, theirs = [], [], []
            for number in range(given.times):
                own_before, theirs_before = cpu_s(session.process.pid), sum(map(cpu_s, pipeline))
                spans.append(taken(session, number))
                own.append(cpu_s(session.process.pid) - own_before)
                theirs.append(sum(map(cpu_s, pipeline)) - theirs_before)
                time.sleep(REST_S)
        finally:
            session.close()
        seconds = [ended - began for began, ended in spans]
        found = {
            "size": given.size,
            "frames": 3 * given.frames,
            "sources": "developed" if given.developed else "raw",
            "times": given.times,
            "stored_s": round(statistics.median(seconds), 2),
            "stored_s_worst": round(max(seconds), 2),
            "live_fps_before": round(pictures.rate([before]), 1),
            "live_fps_during": round(pictures.rate(spans), 1),
            "cpu_s_of_session": round(statistics.median(own), 2),
            "cpu_s_of_pipeline_meanwhile": round(statistics.median(theirs), 2),
            "load": round(os.getloadavg()[0], 1),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    sys.exit(main())
