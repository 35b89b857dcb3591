"""Winograd against the direct convolution of torch, forward and backward, on the shapes of ResNet-18 at 128 x 64.

    python benchmarks/convolution.py

Both sides alternate in one run; printed are medians and the largest relative difference to float64.
"""

import platform
import statistics
import time

import torch
from torch import nn

from strongreid.model import winograd

SHAPES = [(64, 64, 32, 16), (128, 128, 16, 8), (256, 256, 8, 4), (256, 512, 8, 4), (512, 512, 8, 4)]
RUNS, BATCH = 11, 64


def step(conv: nn.Module, images: torch.Tensor, upstream: torch.Tensor) -> float:
    images = images.detach().requires_grad_()
    started = time.perf_counter()
    conv(images).backward(upstream)
    return time.perf_counter() - started


def main() -> None:
    winograd.MIN_CHANNELS = 1
    print(
        f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    print("channels   map     direct ms  winograd ms  ratio  error")
    for c, o, h, w in SHAPES:
        torch.manual_seed(0)
        direct = nn.Conv2d(c, o, 3, padding=1, bias=False).to(memory_format=torch.channels_last)
        holder = nn.Sequential(nn.Conv2d(c, o, 3, padding=1, bias=False)).to(memory_format=torch.channels_last)
        holder[0].load_state_dict(direct.state_dict())
        winograd.use_winograd(holder)
        images = torch.randn(BATCH, c, h, w).to(memory_format=torch.channels_last)
        upstream = torch.randn(BATCH, o, h, w).to(memory_format=torch.channels_last)
        times = [(step(direct, images, upstream), step(holder, images, upstream)) for _ in range(RUNS)]
        a, b = (1000 * statistics.median(side) for side in zip(*times, strict=True))
        with torch.no_grad():
            exact = nn.functional.conv2d(images[:4].double(), direct.weight.double(), padding=1)
            error = ((holder(images[:4]) - exact).abs().max() / exact.abs().max()).item()
        print(f"{c:4d} {o:4d}  {h:2d}x{w:<3d}  {a:9.1f}  {b:11.1f}  {b / a:5.2f}  {error:.0e}")


if __name__ == "__main__":
    main()
