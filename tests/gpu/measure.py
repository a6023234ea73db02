"""Times of the CUDA path on this GPU, by its own events: python -m tests.gpu.measure. For docs/performance.md.

One JSON line a size: medians of each stage, and the floor of the kernels that work on every pixel: their bytes over the
bandwidth that copying within the device reaches here, or their instructions over what the cores issue at the GPU's
clock, whichever is longer. Then one line a size and number of exposures for a stream with motion, as in live use: the
stages, the time from a bracket to its picture, and the brackets a second with two in flight.
"""

import argparse
import json
import statistics
import time
from functools import partial

from livemef.engine.cuda_device import first_device
from livemef.engine.net_on_host import NetOnHost
from livemef.engine.open_net import open_cuda_net
from livemef.fusion.cuda.fuser import CudaFuser, open_driver
from livemef.fusion.cuda.launch_layout import BracketLayout
from livemef.fusion.settings import FusionSettings
from livemef.tools.bench.scene import PanningStream
from tests.fusion.brackets import Curve

still = partial(FusionSettings, motion="off")

SIZES = ((1280, 720), (1920, 1080), (3840, 2160))
SUM_INSTRUCTIONS = 17
"""A pixel of both exposures in the first kernel: three loads, twelve times two, and the loop, for four pixels."""
FUSE_INSTRUCTIONS = 400
"""A pixel of the last kernel, counted in the shipped binary's code for sm_87."""
PERIOD = 12
"""Frames after which PanningStream's pictures are the same again, for two and three exposures."""
COPY_BYTES, COPIES, CORES_A_MULTIPROCESSOR = 1 << 28, 20, 128


def copy_bandwidth(fuser):
    """Bytes a second, read and written together."""
    driver = open_driver()
    with fuser.on_device():
        source, target = driver.mem_alloc(COPY_BYTES), driver.mem_alloc(COPY_BYTES)
        stream, start, end = driver.Stream(), driver.Event(), driver.Event()
        driver.memcpy_dtod_async(target, source, COPY_BYTES, stream)
        start.record(stream)
        for _ in range(COPIES):
            driver.memcpy_dtod_async(target, source, COPY_BYTES, stream)
        end.record(stream)
        end.synchronize()
        return 2 * COPIES * COPY_BYTES / (1e-3 * end.time_since(start))


def issue_rate():
    """Instructions a second of all cores at the highest clock."""
    driver = open_driver()
    attribute, device = driver.device_attribute, driver.Device(0)
    clock = 1e3 * device.get_attribute(attribute.CLOCK_RATE)
    return device.get_attribute(attribute.MULTIPROCESSOR_COUNT) * CORES_A_MULTIPROCESSOR * clock


def floors_ms(layout, bandwidth, rate):
    pixels, cells = layout.height * layout.width, layout.small_shape[0] * layout.small_shape[1]
    picture, sums = 3 * layout.itemsize * pixels, layout.planes()["row_sums"]
    shrunk_rows = max((2 * picture + sums) / bandwidth, SUM_INSTRUCTIONS * pixels / rate)
    shrunk_columns = max(sums / bandwidth, 12 * pixels / max(1, layout.height // layout.small_shape[0]) / rate)
    fused = max((3 * picture + 16 * cells) / bandwidth, FUSE_INSTRUCTIONS * pixels / rate)
    return {"shrink": 1e3 * (shrunk_rows + shrunk_columns), "pixels": 1e3 * fused}


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--brackets", type=int, default=200)
    arguments.add_argument("--no-tensorrt", action="store_true", help="the network's stage is then without meaning")
    asked = arguments.parse_args()
    settings = still()
    net = NetOnHost(Curve()) if asked.no_tensorrt else open_cuda_net("cbm", print)
    fuser = CudaFuser(net, settings)
    bandwidth, rate = copy_bandwidth(fuser), issue_rate()
    for width, height in SIZES:
        pair, _ = PanningStream(width, height, 2).next()
        inputs = [fuser.buffer_for(picture) for picture in pair]
        for buffer, picture in zip(inputs, pair, strict=True):
            buffer[:] = picture
        out = fuser.buffer_for(pair[0])
        for _ in range(10):
            fuser.fuse(inputs, out)
        runs = [fuser.fuse(inputs, out).stages_ms for _ in range(asked.brackets)]
        layout = BracketLayout(height, width, 1, settings, net.multiple, net.half)
        result = {
            "gpu": first_device().name,
            "size": [width, height],
            "stages_ms": {stage: round(statistics.median(run[stage] for run in runs), 4) for stage in runs[0]},
            "floors_ms": {stage: round(floor, 4) for stage, floor in floors_ms(layout, bandwidth, rate).items()},
            "bandwidth_gb_s": round(bandwidth / 1e9, 1),
            "network": None if asked.no_tensorrt else net.name,
        }
        print(json.dumps(result), flush=True)
    for width, height in SIZES:
        for exposures in (2, 3):
            print(json.dumps(stream_times(net, width, height, exposures, asked.brackets)), flush=True)


def stream_times(net, width, height, exposures, brackets):
    """Of a panning stream whose pictures lie in page-locked memory, as those of the ring do."""
    fuser, stream = CudaFuser(net, FusionSettings()), PanningStream(width, height, exposures)
    shown = [stream.next() for _ in range(PERIOD)]
    locked = [[locked_copy(fuser, picture) for picture in pictures] for pictures, _ in shown]
    moments = [stream.next()[1] for _ in range(2 * brackets + PERIOD)]
    outs = [fuser.buffer_for(locked[0][0]) for _ in range(fuser.in_flight)]
    spent, stages = [], []
    for number in range(brackets + PERIOD):
        start = time.perf_counter()
        fused = fuser.fuse(locked[number % PERIOD], outs[0], moments[number])
        spent.append(1e3 * (time.perf_counter() - start))
        stages.append(fused.stages_ms)
    start = time.perf_counter()
    for number in range(brackets + PERIOD, 2 * brackets + PERIOD):
        pending = fuser.begin(locked[number % PERIOD], outs[number % len(outs)], moments[number])
    pending.finish()
    rate = brackets / (time.perf_counter() - start)
    fuser.close()
    return {
        "gpu": first_device().name,
        "size": [width, height],
        "exposures": exposures,
        "bracket_ms": round(statistics.median(spent[PERIOD:]), 3),
        "stages_ms": {
            stage: round(statistics.median(run[stage] for run in stages[PERIOD:]), 4) for stage in stages[-1]
        },
        "brackets_s": round(rate, 1),
    }


def locked_copy(fuser, picture):
    copy = fuser.buffer_for(picture)
    copy[:] = picture
    return copy


if __name__ == "__main__":
    main()
