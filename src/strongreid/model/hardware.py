"""Where a model runs, in which precision and with which convolutions: chosen once, said in one line, overridable."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn

from strongreid.errors import InputError
from strongreid.kept_memory import can_keep, memory_kept
from strongreid.model.winograd import use_winograd

PrecisionName = Literal["auto", "float32", "bf16"]
Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True, slots=True)
class Placement:
    """A device, a precision, a memory format, and why they were chosen."""

    device: torch.device
    bf16: bool
    why: str
    channels_last: bool = True
    winograd: bool = False
    """Whether convolutions of many channels are computed with fewer multiplications (`model.winograd`)."""
    compiled: bool = False
    """Whether training compiles the network."""
    keeps_memory: bool = False
    """Whether training keeps the memory that its steps free (`kept_memory`)."""

    def autocast(self) -> AbstractContextManager[object]:
        """Context in which forward passes run in the chosen precision; weights stay float32."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16)

    def prepare(self, model: Network) -> Network:
        """Move a model there, in the memory format and with the convolutions that are fastest there."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        model.to(self.device, memory_format=layout)  # type: ignore[call-overload]
        if self.winograd:
            use_winograd(model)
        if self.device.type == "cuda":
            torch.backends.cudnn.benchmark = True  # sizes stay the same: let it try its algorithms
        return model

    def arrange(self, images: Tensor) -> Tensor:
        """Images in the memory format of the model; augmentation makes them channels-last."""
        return images if self.channels_last else images.contiguous()

    def memory(self) -> AbstractContextManager[None]:
        """Context in which to train: what a step frees is kept for the next, where that was chosen."""
        return memory_kept(self.keeps_memory)

    def wait(self) -> None:
        """Until the device has done all it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def place(
    device: str = "auto",
    precision: PrecisionName = "auto",
    *,
    local_rank: int = 0,
    compiled: bool | Literal["auto"] = False,
    channels_last: bool = True,
    winograd: bool | Literal["auto"] = "auto",
    keep_memory: bool | Literal["auto"] = False,
) -> Placement:
    """Choose where and how to run.

    Args:
        device: "auto" takes a GPU where there is one, the `local_rank`-th of them; "cpu", "cuda", "cuda:1", "mps".
        precision: "auto" takes bfloat16 where the hardware multiplies it faster than float32.
        local_rank: which of several processes on this machine asks.
        compiled: "auto" compiles training on CUDA; on a CPU it cost a minute and gave nothing (docs/log.md).
        channels_last: the memory format of images and weights.
        winograd: "auto" takes these convolutions on a CPU in float32.
        keep_memory: "auto" keeps what training frees on a CPU; only where the C library is glibc.

    Raises:
        InputError: a device that this machine or this torch does not have.
    """
    chosen = _device(device, local_rank)
    bf16, reason = _precision(chosen, precision)
    on_cpu = chosen.type == "cpu"
    compiles = chosen.type == "cuda" if compiled == "auto" else compiled
    tiles = on_cpu and not bf16 if winograd == "auto" else winograd
    keeps = can_keep() and (on_cpu if keep_memory == "auto" else keep_memory)
    parts = [
        torch.cuda.get_device_name(chosen) if chosen.type == "cuda" else str(chosen),
        *([f"{torch.get_num_threads()} threads"] if on_cpu else []),
        f"{'bf16' if bf16 else 'float32'} ({reason})",
        "channels last" if channels_last else "contiguous",
        *(["Winograd convolutions"] if tiles else []),
        *(["compiled"] if compiles else []),
        *(["freed memory kept"] if keeps else []),
    ]
    return Placement(chosen, bf16, ", ".join(parts), channels_last, tiles, compiles, keeps)


def cpu_has_bf16() -> bool:
    """Whether this CPU has bfloat16 instructions (AVX512-BF16 or AMX); where it can't be told, no."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def measured_peak(placement: Placement) -> float:
    """Operations per second that the device reaches in this precision; a tenth of a second on a CPU.

    On a GPU a large matrix product, on a CPU a 3x3 convolution as ResNets have them: each what runs fastest there.
    The best of several, since what disturbs only slows.
    """
    device = placement.device
    kind = torch.bfloat16 if placement.bf16 else torch.float32
    if device.type == "cpu":
        count, channels, height, width = 16, 256, 16, 8
        images = torch.randn(count, channels, height, width, dtype=kind).to(memory_format=torch.channels_last)
        weight = torch.randn(channels, channels, 3, 3, dtype=kind).to(memory_format=torch.channels_last)
        operations, repeats = 2 * 9 * channels * channels * count * height * width, 5

        def work() -> None:
            torch.nn.functional.conv2d(images, weight, padding=1)
    else:
        side = 8192
        left, right = (torch.randn(side, side, dtype=kind, device=device) for _ in range(2))
        operations, repeats = 2 * side**3, 10

        def work() -> None:
            torch.mm(left, right)

    seconds = []
    with torch.no_grad():
        for _ in range(repeats):
            placement.wait()
            began = time.perf_counter()
            work()
            placement.wait()
            seconds.append(time.perf_counter() - began)
    return operations / min(seconds)


def _precision(device: torch.device, asked: PrecisionName) -> tuple[bool, str]:
    """Whether to run in bfloat16, and why."""
    if asked != "auto":
        return asked == "bf16", "as asked"
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
        return fast, "fast there" if fast else "no fast bf16"
    if device.type == "cpu":
        return (True, "the CPU has its instructions") if cpu_has_bf16() else (False, "no fast bf16")
    return False, "bf16 untried there"


def _device(name: str, local_rank: int) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"unknown device {name!r}: use auto, cpu, cuda, cuda:1 or mps.") from error
    if device.type == "cuda":
        found = torch.cuda.device_count()
        index = local_rank if device.index is None else device.index
        if index >= found:
            who = f" by process {local_rank} of this machine" if local_rank else ""
            remedy = "choose cpu or auto" + (", or start one process for each device" if local_rank else "")
            raise InputError(
                f"device {name!r} was asked for{who}, but torch sees {found} CUDA devices here: {remedy}."
            )
        return torch.device("cuda", index)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise InputError("device 'mps' was asked for, but torch sees none here: choose cpu or auto.")
    if device.type not in ("cpu", "mps"):
        raise InputError(f"device {name!r} is not supported: use auto, cpu, cuda, cuda:1 or mps.")
    return device
