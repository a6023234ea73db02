"""What stands behind clipping, where the brighter exposure is the reference."""

import numpy as np

from livemef.fusion.motion.saturation_fill import with_fill

SKY, BLACK = np.array([0.95, 0.97, 0.98]), np.array([0.05, 0.05, 0.06])
"""What the darker exposure shows around, and what it showed at that place a moment before: somebody's head."""


def behind(reference, made):
    """What is made for the darker exposure where the brighter one shows these codes of 255, and maps to `made`."""
    return with_fill(np.full(3, made), SKY, np.array(reference) / 255, BLACK)


def test_codes_of_ringing_beside_what_clips_are_no_dark_dots():
    """A codec's ringing in white sky, 246 to 253 of 255, which the intensity mapping takes for something grey."""
    for reference in ([250, 246, 255], [253, 249, 255], [247, 248, 255]):
        assert behind(reference, 0.52).min() > 0.8 * SKY.min()


def test_what_is_clearly_below_clipping_is_as_it_is_mapped():
    np.testing.assert_allclose(behind([225, 230, 232], 0.45), 0.45, atol=0.01)
