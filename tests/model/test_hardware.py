"""What is chosen, what the line says, and what can be overridden."""

import pytest
import torch

from strongreid.errors import InputError
from strongreid.model import hardware
from strongreid.model.hardware import measured_peak, place
from strongreid.model.network import ReIDModel
from strongreid.model.synchronized import synchronize_batch_norm
from strongreid.model.winograd import WinogradConv2d


@pytest.fixture
def no_bf16(monkeypatch):
    monkeypatch.setattr(hardware, "cpu_has_bf16", lambda: False)


@pytest.fixture
def two_gpus(monkeypatch):
    """A machine with two GPUs, as far as choosing goes."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU {device.index}")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)


def winograd_layers(model):
    return sum(isinstance(module, WinogradConv2d) for module in model.modules())


def test_a_cpu_without_bf16_computes_float32_with_fewer_multiplications(no_bf16):
    placement = place("cpu")
    assert placement.why == (
        f"cpu, {torch.get_num_threads()} threads, float32 (no fast bf16), channels last, Winograd convolutions"
    )
    assert (placement.bf16, placement.winograd, placement.compiled) == (False, True, False)
    assert winograd_layers(placement.prepare(ReIDModel("resnet18", 4, pretrained=False))) > 0


def test_a_cpu_with_bf16_uses_it(monkeypatch):
    monkeypatch.setattr(hardware, "cpu_has_bf16", lambda: True)
    placement = place("cpu")
    assert (placement.bf16, placement.winograd) == (True, False)
    assert "bf16 (the CPU has its instructions)" in placement.why


@pytest.mark.parametrize(
    ("flags", "fast"), [("avx2 avx512_bf16 fma", True), ("avx2 amx_bf16", True), ("avx2 avx512f", False)]
)
def test_bf16_is_read_from_the_processor_s_flags(monkeypatch, flags, fast):
    monkeypatch.setattr(hardware.Path, "read_text", lambda *_, **__: f"flags : {flags}\n")
    assert hardware.cpu_has_bf16() == fast


def test_every_choice_can_be_overridden(no_bf16):
    placement = place("cpu", "bf16", compiled=True, channels_last=False, winograd=False)
    assert placement.why.endswith("bf16 (as asked), contiguous, compiled")
    model = placement.prepare(ReIDModel("resnet18", 4, pretrained=False))
    assert winograd_layers(model) == 0
    assert model.backbone.conv1.weight.is_contiguous()
    images = torch.zeros(2, 3, 8, 4).to(memory_format=torch.channels_last)
    assert placement.arrange(images).is_contiguous()
    assert place("cpu").arrange(images) is images


def test_training_on_a_cpu_keeps_its_memory_and_nothing_else_does(monkeypatch, two_gpus):
    monkeypatch.setattr(hardware, "can_keep", lambda: True)
    assert place("cpu", keep_memory="auto").why.endswith("freed memory kept")
    assert not place("cuda", keep_memory="auto").keeps_memory
    assert not place("cpu").keeps_memory
    assert not place("cpu", keep_memory=False).keeps_memory
    monkeypatch.setattr(hardware, "can_keep", lambda: False)
    assert not place("cpu", keep_memory=True).keeps_memory


def test_each_process_of_a_machine_has_its_own_gpu(two_gpus):
    placements = [place("auto", local_rank=rank, compiled="auto") for rank in range(2)]
    assert [placement.device for placement in placements] == [torch.device("cuda", 0), torch.device("cuda", 1)]
    assert placements[1].why == "GPU 1, bf16 (fast there), channels last, compiled"
    assert place("cuda:1").device.index == 1
    with pytest.raises(InputError, match="by process 2 of this machine, but torch sees 2 CUDA devices"):
        place("auto", local_rank=2)


def test_the_peak_is_a_rate_that_a_convolution_reaches():
    peak = measured_peak(place("cpu", "float32"))
    assert 1e9 < peak < 1e13  # one slow core to a large server


def test_fused_normalisations_cannot_be_synchronised_on_a_cpu():
    model = ReIDModel("mobilenetv3_small_050", 4, last_stride=2, pretrained=False)
    with pytest.raises(InputError, match=r"knows plain batch normalisations only, and backbone.* BatchNormAct2d"):
        synchronize_batch_norm(model, torch.device("cpu"))
