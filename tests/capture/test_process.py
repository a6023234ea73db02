import pytest

from livemef.capture.process import least_slots
from livemef.capture.transport.ring import SlotPool


@pytest.mark.parametrize("exposures", [2, 3, 5])
def test_a_consumer_with_its_hands_full_is_still_given_the_next_frame(exposures: int) -> None:
    pool = SlotPool[int](least_slots(exposures))
    for sequence in range(2 * exposures):  # a frame of each exposure, and as many under fusion
        slot = pool.acquire()
        assert slot is not None
        pool.fill(slot, sequence)
        assert len(pool.hand_over()) == 1
    slot = pool.acquire()
    assert slot is not None
    pool.fill(slot, 99)
    assert [note for _, note in pool.hand_over()] == [99]
    assert pool.acquire() is not None  # and the camera has where to write
