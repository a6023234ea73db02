from dataclasses import replace

import numpy as np

from livemef.capture.cameras.base import CameraIdentity, KnownCamera
from livemef.capture.srgb import decode
from livemef.fusion.settings import FusionSettings
from livemef.tools.run.pipeline import fusion_settings

IDENTITY = CameraIdentity("simulated", "1", 640, 480, "uint8")


def test_the_shoulder_comes_from_the_measured_response_unless_somebody_set_it():
    settings, curve = FusionSettings(), tuple(decode(np.linspace(0, 1, 256)).tolist())
    measured = KnownCamera("profile.toml", IDENTITY, response=(curve,) * 3)
    assert fusion_settings(settings, None) == settings
    assert fusion_settings(settings, KnownCamera("profile.toml", IDENTITY)) == settings
    assert fusion_settings(settings, measured).shoulder > 2
    chosen = replace(settings, shoulder=1.4)
    assert fusion_settings(chosen, measured) == chosen
