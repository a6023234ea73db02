import pytest

pytest.importorskip("torch", reason="torch is not installed: make test-all")

import torch

from livemef.engine.unet import LightnessUNet, NetShape

pytestmark = pytest.mark.full


@pytest.mark.parametrize(("widths", "multiple"), [((8,), 2), ((8, 8), 4), ((16, 24, 32, 48), 16)])
def test_multiple_follows_the_depth(widths: tuple[int, ...], multiple: int) -> None:
    shape = NetShape(widths)
    assert shape.multiple == multiple
    planes = torch.rand(2, 2, multiple * 3, multiple * 2)
    assert LightnessUNet(shape)(planes).shape == (2, 1, multiple * 3, multiple * 2)


def test_the_untrained_network_gives_about_the_mean_of_its_inputs() -> None:
    torch.manual_seed(0)
    planes = torch.rand(1, 2, 64, 64)
    with torch.no_grad():
        fused = LightnessUNet()(planes)
    assert (fused - planes.mean(dim=1, keepdim=True)).abs().max() < 0.1


def test_pixels_stay_where_they_are() -> None:
    """A lone pixel changes the output most at its own place, for each of the four places in a 2x2 block."""
    torch.manual_seed(0)
    net = LightnessUNet()
    empty = torch.zeros(1, 2, 32, 32)
    for row, column in [(8, 8), (8, 9), (9, 8), (9, 9)]:
        planes = empty.clone()
        planes[0, 1, row, column] = 1.0
        with torch.no_grad():
            change = (net(planes) - net(empty)).abs()[0, 0]
        assert divmod(int(change.argmax()), 32) == (row, column)
