"""Where a model runs and in which precision: chosen once, said in one line, overridable."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import torch
from torch import nn

from strongreid.errors import InputError
from strongreid.model.winograd import use_winograd

PrecisionName = Literal["auto", "float32", "bf16"]
Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True, slots=True)
class Placement:
    """A device, a precision, and why they were chosen."""

    device: torch.device
    bf16: bool
    why: str

    def autocast(self) -> AbstractContextManager[object]:
        """Context in which forward passes run in the chosen precision; weights stay float32."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16)

    def prepare(self, model: Network) -> Network:
        """Move a model there, in the memory format and with the convolutions that are fastest there."""
        model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.device.type == "cpu" and not self.bf16:
            use_winograd(model)
        return model


def place(device: str = "auto", precision: PrecisionName = "auto") -> Placement:
    """Choose where to run.

    "auto" takes a GPU where there is one, and bfloat16 where the hardware multiplies it faster than float32.

    Raises:
        InputError: a device that this machine or this torch does not have.
    """
    chosen = _device(device)
    if precision != "auto":
        return Placement(chosen, precision == "bf16", f"{chosen}, {precision} as asked")
    if chosen.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
        return Placement(chosen, fast, f"{torch.cuda.get_device_name(chosen)}, {'bf16' if fast else 'float32'}")
    if chosen.type == "cpu" and cpu_has_bf16():
        return Placement(chosen, True, f"CPU with bf16 instructions, {torch.get_num_threads()} threads, bf16")
    reason = "no fast bf16" if chosen.type == "cpu" else "bf16 untried there"
    return Placement(chosen, False, f"{chosen}, {torch.get_num_threads()} threads, float32 ({reason})")


def cpu_has_bf16() -> bool:
    """Whether this CPU has bfloat16 instructions (AVX512-BF16 or AMX); where it can't be told, no."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"unknown device {name!r}: use auto, cpu, cuda, cuda:1 or mps.") from error
    if device.type == "cuda":
        found = torch.cuda.device_count()
        if (device.index or 0) >= found:
            raise InputError(
                f"device {name!r} was asked for, but torch sees {found} CUDA devices here: choose cpu or auto."
            )
    elif device.type == "mps" and not torch.backends.mps.is_available():
        raise InputError("device 'mps' was asked for, but torch sees none here: choose cpu or auto.")
    elif device.type not in ("cpu", "mps"):
        raise InputError(f"device {name!r} is not supported: use auto, cpu, cuda, cuda:1 or mps.")
    return device
