"""In which order pictures make a bracket."""

from hypothesis import given, settings
from hypothesis import strategies as st

from livemef.capture.files.bracket_folder import dark_to_bright
from livemef.capture.frame import Exposure


@settings(deadline=None)
@given(st.lists(st.floats(1e-4, 1.0), min_size=2, max_size=5, unique=True), st.randoms())
def test_order_by_brightness_where_exif_says_nothing(levels: list[float], random: object) -> None:
    by_level = sorted(range(len(levels)), key=levels.__getitem__)
    assert dark_to_bright([None] * len(levels), levels) == by_level
    same = [Exposure(1000.0)] * len(levels)
    assert dark_to_bright(same, levels) == by_level
    partly = [Exposure(1000.0 * (len(levels) - place)) for place in range(len(levels) - 1)]
    assert dark_to_bright([*partly, None], levels) == by_level


@settings(deadline=None)
@given(st.permutations(range(5)))
def test_order_by_exif(order: list[int]) -> None:
    measured = [Exposure(1000.0 * 2.0**place) for place in order]
    levels = [1.0 - place / 10 for place in order]
    assert [order[place] for place in dark_to_bright(measured, levels)] == [0, 1, 2, 3, 4]
