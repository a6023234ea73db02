"""Receive fused frames, of `livemef run` here or on another machine: python subscribe.py [ENDPOINT] [COUNT]."""

import itertools
import sys
import time

import livemef


def main(endpoint: str = "tcp://127.0.0.1:5556", count: str = "100") -> None:
    """A line for each frame: its number, its exposures, its age; and at the end what was missed."""
    with livemef.subscribe(endpoint, timeout_s=30, newest=True) as messages:
        for message in itertools.islice(messages, int(count)):
            header = message.header
            exposures = [source.measured or source.requested for source in header.sources]
            times = ", ".join(f"{exposure.exposure_us / 1e3:g} ms" for exposure in exposures if exposure)
            age_ms = (time.time_ns() - header.timestamp_wall_ns) / 1e6
            print(f"{header.seq}: {message.pixels.shape} of {times}, {age_ms:.0f} ms old", flush=True)
        print(messages.missed)


if __name__ == "__main__":
    main(*sys.argv[1:])
