import cv2
import imagezmq
import numpy as np
import pytest
import zmq

from livemef.fusion.stream.publisher import Publisher
from tests.fusion.stream.stream_samples import flat, header, ramp
from tests.fusion.stream.test_publisher import until


@pytest.fixture
def hub_of():
    """The real package's receiver, with a time limit on its waits."""
    hubs = []

    def opened(publisher):
        hub = imagezmq.ImageHub(open_port=publisher.address, REQ_REP=False)
        hub.zmq_socket.setsockopt(zmq.RCVTIMEO, 5000)
        hubs.append(hub)
        until(lambda: publisher.wanted("fused"))
        return hub

    yield opened
    for hub in hubs:
        hub.close()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_raw_pictures(tmp_path, hub_of, dtype):
    with Publisher(f"ipc://{tmp_path}/s", wire="imagezmq") as publisher:
        hub = hub_of(publisher)
        assert not publisher.wanted("exposure/0")
        assert publisher.publish("fused", header(frame_id="front"), ramp(dtype, 40, 60))
        name, pixels = hub.recv_image()
        assert name == "front"
        assert pixels.dtype == dtype
        np.testing.assert_array_equal(pixels, ramp(dtype, 40, 60))


def test_jpeg_pictures(tmp_path, hub_of):
    with Publisher(f"ipc://{tmp_path}/s", codec="jpeg", wire="imagezmq") as publisher:
        hub = hub_of(publisher)
        publisher.publish("fused", header(frame_id="front"), flat((10, 120, 200)))
        name, encoded = hub.recv_jpg()
        pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
        assert name == "front"
        assert np.abs(pixels.astype(int) - flat((10, 120, 200))).max() <= 4


def test_our_header_travels_along(tmp_path, hub_of):
    with Publisher(f"ipc://{tmp_path}/s", wire="imagezmq") as publisher:
        hub = hub_of(publisher)
        publisher.publish("fused", header(17), ramp())
        described = hub.zmq_socket.recv_json()
        assert described["livemef"]["seq"] == 17
        assert described["livemef"]["width"] == 5
