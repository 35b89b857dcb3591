"""The torch side of evaluation: the fastest product on a CPU, and ranking on an accelerator."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from strongreid.errors import InputError

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]
_TILE = 4096  # gallery rows per product: what the product packs for itself stays below 32 MB at 2048-d
_LAST = torch.iinfo(torch.int64).max  # after every key


def linear_product(query: Float32, gallery: Float32, out: Float32) -> None:
    """(b, d), (g, d) -> (b, g) inner products into `out`, on the CPU."""
    block = _tensor(query)
    with torch.no_grad():
        for start in range(0, len(gallery), _TILE):
            tile = slice(start, start + _TILE)
            torch.from_numpy(out)[:, tile] = torch.nn.functional.linear(block, _tensor(gallery[tile]))


def usable_device(device: str) -> str | None:
    """`device` if torch has it; for "auto" a CUDA device or None.

    Raises:
        InputError: no such device here.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else None
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {device!r} is not usable here ({error}); take 'cpu' or 'auto'.") from error
    return device


class DeviceGallery:
    """A gallery on an accelerator, against which blocks of queries are ranked without leaving it.

    Args:
        gallery: (g, d) features.
        per_column: (g,) factor (cosine) or summand (Euclidean) of each gallery row.
        factor: whether `per_column` multiplies.
        device: a torch device.
    """

    def __init__(self, gallery: Float32, per_column: Float32, *, factor: bool, device: str) -> None:
        self.device, self.factor = device, factor
        self.gallery = _tensor(gallery).to(device)
        self.per_column = _tensor(per_column).to(device)
        self.index = torch.arange(len(gallery), device=device)

    def rows_per_block(self) -> int:
        """Queries that fit the free memory, at some forty bytes per cell."""
        free = torch.cuda.mem_get_info(self.device)[0] if self.device.startswith("cuda") else 1 << 28
        return int(max(1, min(4096, free // 2 // (40 * max(1, len(self.gallery))))))

    def values(self, block: Float32) -> Tensor:
        """(b, g) values in the order of the distances, of the scaled queries."""
        products = _tensor(block).to(self.device) @ self.gallery.T
        return products * self.per_column if self.factor else products + self.per_column

    def keys(self, values: Tensor) -> Tensor:
        """(b, g) int64 keys in the order of the values, equal ones by gallery row."""
        bits = (values + 0.0).view(torch.int32).long()  # + 0 turns -0 into 0
        bits = torch.where(bits < 0, -(1 << 31) - 1 - bits, bits)  # monotone, negative numbers inverted
        return (bits << 32) + self.index

    def match_ranks(self, block: Float32, matches: list[Int64], left_out: list[Int64]) -> list[Int64]:
        """Ascending ranks, from 1, of each query's matches among what it sees of the gallery.

        Every gallery picture is put into the gap between two matches that it falls in; the running sum of
        these counts is the rank. No sort of the gallery.
        """
        keys = self.keys(self.values(block))
        hidden_rows, hidden_columns = self._flat(left_out)
        rows, columns = self._flat(matches)
        counts = [len(own) for own in matches]
        width = max(counts)
        places = torch.cat([torch.arange(count) for count in counts]).to(self.device)
        targets = torch.full((len(block), width), _LAST, device=self.device)
        targets[rows, places] = keys[rows, columns]
        targets = targets.sort(dim=1).values
        keys[hidden_rows, hidden_columns] = _LAST
        gaps = torch.searchsorted(targets, keys)  # number of matches strictly before each picture
        tally = torch.zeros((len(block), width + 1), dtype=torch.int64, device=self.device)
        tally.scatter_add_(1, gaps, torch.ones_like(gaps))
        ranks = tally.cumsum(dim=1).cpu().numpy()
        return [ranks[row, :count] for row, count in enumerate(counts)]

    def nearest(self, block: Float32, count: int) -> tuple[Int64, Float32]:
        """(b, count) gallery rows nearest to each query, nearest first, equal ones by row; (b,) largest value."""
        values = self.values(block)
        keys = self.keys(values).topk(count, dim=1, largest=False, sorted=True).values
        return (keys & 0xFFFFFFFF).cpu().numpy(), values.amax(dim=1).cpu().numpy()

    def _flat(self, columns: list[Int64]) -> tuple[Tensor, Tensor]:
        """Row and column of every listed cell."""
        rows = np.repeat(np.arange(len(columns)), [len(own) for own in columns])
        flat = np.concatenate(columns) if columns else np.empty(0, dtype=np.int64)
        return torch.from_numpy(rows).to(self.device), torch.from_numpy(flat).to(self.device)


def _tensor(array: Float32) -> Tensor:
    """The array's memory as a tensor; it is only read."""
    with warnings.catch_warnings():  # a memory-mapped table is not writable
        warnings.filterwarnings("ignore", message=".*not writable.*")
        return torch.from_numpy(array)
