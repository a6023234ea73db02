"""The line that `livemef run` shows while nothing is fused yet."""

from __future__ import annotations

import pytest

from livemef.tools.config.schema import CaptureConfig
from livemef.tools.run.command import _exposures_in_words
from livemef.tools.run.status import replay_loss, status_line


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("waiting for the camera", "camera waiting for the camera, 90 frames captured, no bracket yet"),
        ("unconfirmed", "camera unconfirmed, 90 frames captured, no bracket yet"),
        ("not_following", "no bracket yet: the camera does not follow exposure requests"),
    ],
)
def test_no_bracket_yet(state: str, words: str) -> None:
    assert status_line({"fused": 0, "camera": state, "captured": 90}).startswith(words)


def test_a_replay_that_lost_brackets_says_so() -> None:
    counts = {"dropped": 2, "not_taken": 1, "superseded": 4}
    assert "7 frames or brackets" in str(replay_loss("file:///r", counts))
    assert replay_loss("file:///r?pace=stepped", counts) is None
    assert replay_loss("sim://", counts) is None
    assert replay_loss("file:///r", dict.fromkeys(counts, 0)) is None


@pytest.mark.parametrize(
    ("exposures", "can_request", "words"),
    [
        ("1ms,16ms", True, "exposures 1 ms, 16 ms"),
        ("auto", True, "automatic exposures, at first 1 ms, 16 ms"),
        ("auto:3", True, "automatic exposures (up to 3), at first 1 ms, 16 ms"),
        ("auto", False, "exposures 1 ms, 16 ms"),
    ],
)
def test_the_banner_says_where_exposures_follow_the_scene(exposures: str, can_request: bool, words: str) -> None:
    camera = {"plan": "1 ms, 16 ms", "can_request": can_request}
    assert _exposures_in_words(CaptureConfig(exposures=exposures), camera) == words
