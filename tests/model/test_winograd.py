import pytest
import torch
import torch.nn.functional as F
from torch import nn

from strongreid.model.network import ReIDModel
from strongreid.model.winograd import WinogradConv2d, use_winograd


def pair(channels_in=256, channels_out=320):
    torch.manual_seed(0)
    plain = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
    model = nn.Sequential(nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False))
    model[0].load_state_dict(plain.state_dict())
    assert use_winograd(model) == 1
    return plain.double(), model[0]


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [(8, 4), (2, 2), (4, 6)])
def test_value_and_gradients_equal_the_direct_convolution(memory, size):
    plain, fast = pair()
    images = torch.randn(3, 256, *size).to(memory_format=memory).requires_grad_()
    exact = images.detach().double().requires_grad_()
    upstream = torch.randn(3, 320, *size)
    found, expected = fast(images), plain(exact)
    found.backward(upstream)
    expected.backward(upstream.double())
    for a, b in ((found, expected), (images.grad, exact.grad), (fast.weight.grad, plain.weight.grad)):
        assert (a.double() - b).abs().max() < 1e-5 * b.abs().max()


def test_odd_maps_and_double_precision_take_the_plain_path():
    plain, fast = pair()
    odd = torch.randn(1, 256, 7, 4)
    torch.testing.assert_close(fast(odd), F.conv2d(odd, fast.weight, padding=1))
    double = torch.randn(1, 256, 8, 4, dtype=torch.float64)
    assert torch.equal(fast.double()(double), plain(double))


def test_only_wide_plain_3x3_convolutions_of_stride_1_are_changed():
    model = ReIDModel("resnet18", pretrained=False)
    names = list(model.state_dict())
    assert (
        use_winograd(model) == 8 - 1
    )  # layers 3 and 4, less the strided one of layer 3... and layer 4 starts at stride 1
    changed = {name for name, m in model.named_modules() if isinstance(m, WinogradConv2d)}
    assert all(name.startswith(("backbone.layer3", "backbone.layer4")) for name in changed)
    assert list(model.state_dict()) == names
