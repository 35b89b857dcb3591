"""3x3 convolutions with 2.25 times fewer multiplications (Lavin and Gray 2016), for CPUs without bfloat16.

F(2x2, 3x3): a 4x4 tile of the input and the 3x3 kernel are transformed so that their convolution becomes 16
products, each a matrix product over channels. In float32 the result agrees with the direct sum to a few parts in a
million, forward and backward. It pays where channels are many and maps small, which is where a ReID network with
last stride 1 spends most of its time.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MIN_CHANNELS = 256
"""Below this the transforms cost more than the products save (benchmarks/convolution.py)."""


def use_winograd(model: nn.Module) -> int:
    """Let every eligible convolution of `model` use it, in place; returns how many. Parameters stay as they are."""
    count = 0
    for module in model.modules():
        if type(module) is nn.Conv2d and _eligible(module):
            module.__class__ = WinogradConv2d
            count += 1
    return count


def _eligible(conv: nn.Conv2d) -> bool:
    ones = conv.stride == conv.dilation == conv.padding == (1, 1)
    plain = conv.groups == 1 and conv.bias is None and conv.padding_mode == "zeros"
    return ones and plain and conv.kernel_size == (3, 3) and min(conv.in_channels, conv.out_channels) >= MIN_CHANNELS


class WinogradConv2d(nn.Conv2d):
    """A 3x3 convolution of stride 1; falls back to the plain one for odd map sizes and other precisions."""

    def forward(self, images: Tensor) -> Tensor:
        """(b, c, h, w) to (b, o, h, w)."""
        even = images.shape[2] % 2 == 0 and images.shape[3] % 2 == 0
        plain = images.device.type != "cpu" or images.dtype != torch.float32 or torch.is_autocast_enabled("cpu")
        if plain or not even:
            return super().forward(images)
        result: Tensor = _Winograd.apply(images, self.weight)
        return result


class _Winograd(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor) -> Tensor:
        tiles = _input_tiles(images.permute(0, 2, 3, 1))
        kernels = _kernel_tiles(weight)
        ctx.save_for_backward(tiles, kernels)
        return _gather_output(torch.bmm(tiles, kernels.transpose(1, 2)), images.shape)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None]:
        (grad,) = grads
        tiles, kernels = ctx.saved_tensors
        grad = grad.permute(0, 2, 3, 1)
        image_grad = weight_grad = None
        if ctx.needs_input_grad[1]:
            weight_grad = _kernel_gradient(torch.bmm(_gradient_tiles(grad).transpose(1, 2), tiles))
        if ctx.needs_input_grad[0]:
            # The gradient of the input is a convolution with the kernel turned by 180 degrees, which in the
            # transformed domain only swaps the first and the last row and column.
            turned = kernels.view(4, 4, *kernels.shape[1:])[[3, 1, 2, 0]][:, [3, 1, 2, 0]].view_as(kernels)
            products = torch.bmm(_input_tiles(grad), turned)
            image_grad = _gather_output(products, (grad.shape[0], kernels.shape[2], *grad.shape[1:3]))
        return image_grad, weight_grad


def _input_tiles(images: Tensor) -> Tensor:
    """B^T d B for every overlapping 4x4 tile of images (b, h, w, c): (16, b * h/2 * w/2, c)."""
    batch, height, width, channels = images.shape
    padded = F.pad(images, (0, 0, 1, 1, 1, 1))
    rows = [padded[:, i : i + height : 2] for i in range(4)]
    tiles = images.new_empty(4, 4, batch, height // 2, width // 2, channels)
    for i, row in enumerate((rows[0] - rows[2], rows[1] + rows[2], rows[2] - rows[1], rows[1] - rows[3])):
        a, b, c, d = (row[:, :, j : j + width : 2] for j in range(4))
        torch.sub(a, c, out=tiles[i, 0])
        torch.add(b, c, out=tiles[i, 1])
        torch.sub(c, b, out=tiles[i, 2])
        torch.sub(b, d, out=tiles[i, 3])
    return tiles.view(16, -1, channels)


def _gradient_tiles(grad: Tensor) -> Tensor:
    """A g A^T for every 2x2 tile of the output's gradient (b, h, w, o): (16, b * h/2 * w/2, o)."""
    batch, height, width, channels = grad.shape
    pairs = grad.reshape(batch, height // 2, 2, width // 2, 2, channels)
    top, bottom = pairs[:, :, 0], pairs[:, :, 1]
    tiles = grad.new_empty(4, 4, batch, height // 2, width // 2, channels)
    for i, row in enumerate((top, top + bottom, top - bottom, -bottom)):
        left, right = row[:, :, :, 0], row[:, :, :, 1]
        tiles[i, 0] = left
        torch.add(left, right, out=tiles[i, 1])
        torch.sub(left, right, out=tiles[i, 2])
        torch.neg(right, out=tiles[i, 3])
    return tiles.view(16, -1, channels)


def _gather_output(products: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A^T m A of the products (16, tiles, o), laid out as (b, o, h, w) in channels-last memory."""
    batch, _, height, width = shape
    m = products.view(4, 4, batch, height // 2, width // 2, -1)
    output = products.new_empty(batch, height // 2, 2, width // 2, 2, m.shape[-1])
    for i, row in enumerate((m[0] + m[1] + m[2], m[1] - m[2] - m[3])):
        output[:, :, i, :, 0] = row[0] + row[1] + row[2]
        output[:, :, i, :, 1] = row[1] - row[2] - row[3]
    return output.view(batch, height, width, -1).permute(0, 3, 1, 2)


_G = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]])
_GG = torch.kron(_G, _G)
"""G k G^T as one matrix (16, 9) on the flattened kernel."""


def _kernel_tiles(weight: Tensor) -> Tensor:
    """G k G^T for every kernel (o, c, 3, 3): (16, o, c)."""
    out_channels, in_channels = weight.shape[:2]
    flat = weight.permute(2, 3, 0, 1).reshape(9, -1)
    return (_GG @ flat).view(16, out_channels, in_channels)


def _kernel_gradient(tiles: Tensor) -> Tensor:
    """G^T u G: the kernels' gradient (o, c, 3, 3) from its transformed one (16, o, c)."""
    flat = _GG.T @ tiles.view(16, -1)
    return flat.view(3, 3, *tiles.shape[1:]).permute(2, 3, 0, 1)
