"""Parts of pictures for the loupe, and the endless JPEG stream."""

import json

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livemef.tools.preview.crops import Box, crop_box, cropped_png
from livemef.tools.run.outcome import Outcome
from tests.fusion.stream.stream_samples import flat
from tests.tools.preview.preview_rig import Show, get, serving


@given(st.dictionaries(st.sampled_from(["topic", "x", "y", "w", "h", "z"]), st.text(max_size=8), max_size=4))
def test_whatever_is_asked_for_is_a_box_or_a_refusal(query: dict[str, str]) -> None:
    box = crop_box(query)
    if isinstance(box, Outcome):
        assert box.status == 422
        return
    picture = np.arange(30 * 40 * 3, dtype=np.uint8).reshape(30, 40, 3)
    part = cv2.imdecode(cropped_png(picture, box), cv2.IMREAD_COLOR)
    assert part.shape[0] == min(30, box.height)


def test_a_crop_is_of_the_very_pixels() -> None:
    rng = np.random.default_rng(1)
    picture = rng.integers(0, 65536, (200, 300, 3)).astype(np.uint16)
    part = cv2.imdecode(cropped_png(picture, Box("fused", 290, 20, 64, 32)), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(part, picture[20:52, 236:300])


def test_crops_are_served(tmp_path) -> None:
    place = f"ipc://{tmp_path}/s"
    with Show(place), serving(place) as port:
        for topic, size in (("fused", (20, 30)), ("exposure/1", (20, 30)), ("motion", (18, 30))):
            status, body = get(port, f"/api/v1/crop?topic={topic}&x=4&y=2&w=30&h=20")
            assert status == 200, body
            assert cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR).shape[:2] == size
        status, body = get(port, "/api/v1/crop?topic=status&w=5000")
        assert status == 422
        assert [error["key"] for error in json.loads(body)["errors"]] == ["topic", "w"]
        assert get(port, "/api/v1/crop?topic=exposure/7")[0] == 503


def test_opencv_takes_the_stream_for_a_camera(tmp_path) -> None:
    place = f"ipc://{tmp_path}/s"
    with Show(place, make=lambda seq: flat((30, 160, 200))), serving(place) as port:
        capture = cv2.VideoCapture(f"http://127.0.0.1:{port}/stream.mjpeg", cv2.CAP_FFMPEG)
        if not capture.isOpened():
            pytest.skip("this OpenCV reads no video")
        for _ in range(5):
            taken, picture = capture.read()
            assert taken
        capture.release()
    assert np.abs(picture.astype(int) - (30, 160, 200)).max() < 8
