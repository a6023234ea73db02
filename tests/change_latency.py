"""How long a change takes from the request to the first fused picture with it: python -m tests.change_latency

Starts `livemef run` on the simulated camera at 30 frames/s, and changes gamma and the exposures by turns.
"""

import argparse
import json
import statistics
import sys
import threading
import time

import livemef
from livemef.fusion.stream.header import Header
from livemef.fusion.stream.subscriber import Subscriber
from tests.tools.run.test_live_control import Controlled

CAMERA = "sim://?fps=30&seed=1&size="


class Headers(threading.Thread):
    """Keeps the newest header, and waits for one."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(daemon=True)
        self._subscriber = Subscriber(f"sub+connect:{endpoint}")
        self.newest: Header | None = None
        self.changed = threading.Condition()

    def run(self) -> None:
        while True:
            header = self._subscriber.receive(60).header
            with self.changed:
                self.newest = header
                self.changed.notify_all()

    def wait(self, fits) -> Header:
        with self.changed:
            assert self.changed.wait_for(lambda: self.newest is not None and fits(self.newest), 60)
            assert self.newest is not None
            return self.newest


def newest_frame(header: Header) -> int:
    return max(source.seq for source in header.sources)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--size", default="1280x720")
    given = parser.parse_args()
    times = given.times
    run = Controlled("--exposures", "1ms,16ms", camera=CAMERA + given.size)
    headers = Headers(run.pipeline.endpoint)
    headers.start()
    of_settings, frames_of_plan, of_plan = [], [], []
    try:
        with livemef.control(f"http://127.0.0.1:{run.page}", token=run.token) as control:
            headers.wait(lambda header: header.pipeline.fused > 60)
            for number in range(times):
                began_s = time.monotonic()
                revision = control.ask("PATCH", "/settings/fusion", {"gamma": 0.8 + number % 2 * 0.2})["revision"]
                headers.wait(lambda header, revision=revision: header.settings_rev >= revision)
                of_settings.append(1000 * (time.monotonic() - began_s))
                time.sleep(0.5)
                before, began_s = headers.newest, time.monotonic()
                assert before is not None
                plan = "2ms,8ms" if number % 2 else "1ms,16ms"
                if control.ask("PATCH", "/settings/capture", {"exposures": plan})["changed"]:
                    after = headers.wait(lambda header, epoch=before.epoch: header.epoch > epoch)
                    frames_of_plan.append(newest_frame(after) - newest_frame(before))
                    of_plan.append(1000 * (time.monotonic() - began_s))
                time.sleep(0.5)
            fps = control.status["fps"]
    finally:
        run.pipeline.process.terminate()
        run.pipeline.process.wait(20)
    found = {
        "settings_ms": round(statistics.median(of_settings)),
        "settings_ms_worst": round(max(of_settings)),
        "plan_frames": statistics.median(frames_of_plan),
        "plan_frames_worst": max(frames_of_plan),
        "plan_ms": round(statistics.median(of_plan)),
        "times": times,
        "fps": fps,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    sys.exit(main())
