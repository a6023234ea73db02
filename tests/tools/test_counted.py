from livemef.tools.counted import counted


def test_one_is_singular() -> None:
    assert [counted(number, "frame") for number in (0, 1, 2, 21)] == ["0 frames", "1 frame", "2 frames", "21 frames"]
