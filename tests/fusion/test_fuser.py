import json

import numpy as np
import pytest

from livemef.fusion.errors import FusionError
from livemef.fusion.fuser import check_exposures
from livemef.fusion.open_fuser import open_fuser
from livemef.fusion.settings import FusionSettings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("network_lines", 5),
        ("network_lines", -1),
        ("gamma", 0),
        ("gamma", float("nan")),
        ("gamma", "adaptiv"),
        ("adaptive_target", 1.0),
        ("chroma", "larger"),
        ("colour", "xyz"),
        ("window_radius", 0),
        ("window_eps", 0.0),
    ],
)
def test_a_setting_out_of_range_is_named(name, value):
    with pytest.raises(FusionError, match=name):
        FusionSettings(**{name: value})


def test_settings_travel_as_plain_values():
    settings = FusionSettings(gamma="adaptive", network_lines=0)
    assert FusionSettings(**json.loads(json.dumps(settings.as_dict()))) == settings


def _picture(shape=(4, 6, 3), dtype=np.uint8):
    return np.zeros(shape, dtype)


@pytest.mark.parametrize(
    ("exposures", "words"),
    [
        ([], "at least two"),
        ([_picture()], "at least two"),
        ([_picture((4, 6)), _picture((4, 6))], "height x width x 3"),
        ([_picture((4, 6, 4)), _picture((4, 6, 4))], "height x width x 3"),
        ([_picture((0, 6, 3)), _picture((0, 6, 3))], "height x width x 3"),
        ([_picture(dtype=np.float32), _picture(dtype=np.float32)], "uint8 or uint16"),
        ([_picture(), _picture((6, 4, 3))], "4x6 uint8 but exposure 0 is 6x4 uint8"),
        ([_picture(), _picture(dtype=np.uint16)], "uint16 but exposure 0 is 6x4 uint8"),
    ],
)
def test_exposures_that_do_not_fit_are_refused(exposures, words):
    with pytest.raises(FusionError, match=words):
        check_exposures(exposures)


def test_an_unknown_device_is_refused():
    with pytest.raises(FusionError, match="abacus"):
        open_fuser(device="abacus")
