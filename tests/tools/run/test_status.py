"""The line that `livemef run` shows while nothing is fused yet."""

from __future__ import annotations

import pytest

from livemef.tools.run.status import status_line


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
