"""The compiled loops, found where the installation put them."""

import pytest

from livemef.fusion.errors import FusionError
from livemef.fusion.kernels import shared_library


@pytest.mark.skipif(not shared_library.compiled(), reason="the compiled loops are not built")
def test_loops_that_are_older_than_the_code_say_how_to_renew_them() -> None:
    with pytest.raises(FusionError, match="make setup"):
        _ = shared_library.library().a_loop_of_tomorrow
