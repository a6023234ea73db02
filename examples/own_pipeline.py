"""A pipeline of one's own: python own_pipeline.py [CAMERA] [ENDPOINT] [BRACKETS]."""

import itertools
import sys

import livemef


def main(uri: str = "sim://", endpoint: str = "tcp://127.0.0.1:5556", count: str = "100") -> None:
    """Camera, fuser, publisher; `livemef watch` and `livemef preview` receive it as they receive `livemef run`."""
    with (
        livemef.open_camera(uri) as camera,
        livemef.open_fuser() as fuser,
        livemef.BracketPublisher(endpoint) as publisher,
    ):
        for bracket in itertools.islice(camera.brackets(), int(count)):
            fused = fuser.fuse(bracket)
            publisher.publish(bracket, fused, fuser)
        print(f"{count} brackets; {camera.counters}")


if __name__ == "__main__":
    main(*sys.argv[1:])
