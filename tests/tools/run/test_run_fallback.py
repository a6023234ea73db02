"""`livemef run --device auto` where a driver is but no kernel can be launched: on the stand-in."""

import importlib.util
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from livemef.fusion.stream.subscriber import Subscriber
from tests.fusion.cuda.stand_in import run_on_stand_in
from tests.gpu_tools import lacking
from tests.tools.command import assert_one_line, livemef
from tests.tools.run.test_run import SMALL_CAMERA, free_port

pytestmark = pytest.mark.full

RUN = ("-m", "livemef.tools.cli", "run", "--camera", SMALL_CAMERA, "--no-preview", "--json")


def test_after_the_third_failure_the_cpu_goes_on_and_header_and_log_say_so(tmp_path):
    if importlib.util.find_spec("tensorrt_rtx") is None:
        lacking("no tensorrt-rtx: the fall back to the CPU is not run")
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    arguments = (*RUN, "--device", "auto", "--frames", "40", "--publish", f"pub+bind:{endpoint}")
    with ThreadPoolExecutor(1) as pool, Subscriber(f"sub+connect:{endpoint}") as subscriber:
        running = pool.submit(run_on_stand_in, *arguments, XDG_CACHE_HOME=str(tmp_path), STAND_IN_FAULT="launch")
        received = subscriber.receive(60)
        done = running.result()
    assert done.returncode == 0, done.stderr
    assert "CUDA failed 3 times in a row" in " ".join(done.stderr.split())
    assert received.header.device == "cpu (cuda failed)"
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["device"] == "cpu"
    assert last["restarts"]["fusion"] == 3
    assert last["published"] >= 40


def test_asked_for_by_name_it_is_one_line_where_there_is_no_driver():
    assert_one_line(livemef("run", "--camera", SMALL_CAMERA, "--device", "cuda", "--no-preview"), "driver", "cpu")
