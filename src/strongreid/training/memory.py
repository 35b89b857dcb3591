"""What to do when memory runs out: how many pictures would have fitted."""

from __future__ import annotations

import gc

import torch
from torch import Tensor, nn

from strongreid.evaluation.hardware import free_memory
from strongreid.model.hardware import Placement
from strongreid.training.network import TrainingNetwork
from strongreid.training.setup import Run

_SHARE = 0.85
"""Of the memory left that kept activations may take: the rest is for gradients of activations and workspace."""
_COPIES = 4
"""Of each weight: itself, its gradient and Adam's two moments."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this is torch's way of saying so, on a GPU or a CPU."""
    said = str(error).strip()
    # The last is oneDNN's, which finds no memory for its code; of what it can't do it says "primitive descriptor".
    known = "can't allocate memory" in said or said.endswith("could not create a primitive")
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or known


def bytes_kept(network: nn.Module, images: Tensor, labels: Tensor, placement: Placement) -> int:
    """Bytes that a forward pass keeps for its backward pass, parameters not counted; each storage once."""
    own = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor), placement.autocast():
        terms = network(images, labels)
    del terms
    return sum(kept.values())


def bytes_per_picture(network: nn.Module, placement: Placement, height: int, width: int) -> float:
    """Bytes kept for each further picture: the difference between a batch of four and one of two."""

    def kept(count: int) -> int:
        images = placement.arrange(torch.zeros(count, 3, height, width, device=placement.device))
        labels = torch.arange(count, device=placement.device) // 2
        return bytes_kept(network, images, labels, placement)

    return (kept(4) - kept(2)) / 2


def batch_that_fits(network: nn.Module, placement: Placement, size: tuple[int, int], k: int) -> int:
    """About how many identities of `k` pictures of `size` (height, width) fit a batch with the memory there is."""
    weights = sum(parameter.numel() * 4 for parameter in network.parameters())
    if placement.device.type == "cuda":
        torch.cuda.empty_cache()
        free, _ = torch.cuda.mem_get_info(placement.device)
    else:
        free = free_memory()
    left = free - (_COPIES - 1) * weights
    return max(0, int(_SHARE * left / (k * bytes_per_picture(network, placement, *size))))


def what_fits(run: Run) -> str:
    """A sentence on batches that would fit, after one did not. The run is over: its statistics are not kept."""
    criterion, batch, data = run.network.criterion, run.config.batch, run.config.data
    gc.collect()
    criterion.gather = None  # the other processes are not asked any more
    for parameter in run.model.parameters():
        parameter.grad = None
    plain = TrainingNetwork(run.model.train(), criterion)
    fits = 0
    try:
        fits = batch_that_fits(plain, run.placement, (data.height, data.width), batch.images)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    return advice(fits, batch.identities, batch.images, batch.accumulate)


def advice(fits: int, p: int, k: int, accumulate: int) -> str:
    """What to set so that it fits, given that `fits` identities of `k` pictures do; now it is `p`."""
    if fits < 2:
        return (
            f"not even 2 identities x {k} pictures would fit: take smaller pictures (--data.height, --data.width), a "
            "smaller --model.backbone, or --model.checkpointing true."
        )
    choices = [f"--batch.identities {fits}"] if fits < p else []
    parts = [n for n in range(accumulate + 1, p // 2 + 1) if p % n == 0 and p // n <= fits]
    if parts:
        choices.append(f"--batch.accumulate {parts[0]} (the same batch in {parts[0]} parts)")
    return f"about {fits} identities x {k} pictures would fit: {' or '.join(choices or ['free some memory'])}."
