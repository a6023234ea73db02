from hypothesis import given
from hypothesis import strategies as st

from livemef.tools.run.device_choice import FALLBACK_AFTER, DeviceChoice

DEVICES = st.sampled_from([None, "cpu", "cuda"])


def choice(configured="auto", driver_here=True):
    return DeviceChoice(configured, driver_here)


def test_the_third_failure_on_cuda_falls_back_once_and_for_all(caplog):
    chosen = choice()
    assert [chosen.next(failures, "cuda", "hung") for failures in range(4)] == ["auto", "auto", "auto", "cpu"]
    assert [chosen.next(0, "cpu", ""), chosen.next(5, "cuda", "")] == ["cpu", "cpu"]
    assert caplog.messages == ["fusion: CUDA failed 3 times in a row (hung); it goes on with the CPU"]


def test_a_life_that_never_got_to_a_device_counts_where_a_driver_is():
    assert choice().next(3, None, "killed by SIGSEGV") == "cpu"
    assert choice(driver_here=False).next(3, None, "killed by SIGSEGV") == "auto"


@given(st.sampled_from(["cpu", "cuda"]), st.lists(st.tuples(st.integers(0, 9), DEVICES)))
def test_what_was_asked_for_by_name_stays(configured, lives):
    chosen = choice(configured)
    assert all(chosen.next(failures, was_on, "") == configured for failures, was_on in lives)
    assert not chosen.fallen_back


@given(st.lists(st.tuples(st.integers(0, 9), DEVICES)))
def test_failures_of_the_cpu_or_too_few_change_nothing(lives):
    chosen = choice()
    for failures, was_on in lives:
        fell = chosen.fallen_back
        device = chosen.next(failures, was_on, "")
        assert device in ("auto", "cpu")
        assert chosen.fallen_back == (fell or (failures >= FALLBACK_AFTER and was_on != "cpu"))
