"""For tests that need OpenCV's chart finder."""

import cv2
import pytest

needs_chart_finder = pytest.mark.skipif(not hasattr(cv2, "mcc"), reason="this OpenCV cannot find a chart (5 can)")
