"""Sampler and store together: an epoch of augmented (images, labels), a pure function of (seed, epoch)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from strongreid.data.ahead import ahead
from strongreid.data.augment import Augmentation, Draws
from strongreid.data.sampler import SinglePicture, plan_epoch, usable_pictures
from strongreid.errors import InputError

_PLANNED = 256
"""Batches whose draws travel to the device together."""


class Batches:
    """P x K batches of one training set.

    Nothing random is kept between epochs: `epoch(n)` depends on the seed and n alone, so a resumed run sees the
    very batches it would have seen.

    Several processes share a global batch: it is planned and drawn as one of `ranks` x P identities, of which each
    takes its P. So two processes with P = 8 see together what one with P = 16 sees.
    """

    def __init__(
        self,
        pictures: npt.NDArray[np.uint8],
        identities: npt.NDArray[np.int64],
        *,
        p: int = 16,
        k: int = 4,
        augmentation: Augmentation | None = None,
        single: SinglePicture = "refuse",
        seed: int = 0,
        device: torch.device | str = "cpu",
        keep_on_device: bool = False,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        """Take decoded `pictures` (n, h, w, 3) and who they show, `identities` (n,).

        Args:
            pictures: decoded; may be a memory map.
            identities: one for each picture.
            p: identities in the batch of a process.
            k: pictures of each.
            augmentation: what happens to them; None for the paper's.
            single: what to do with an identity that has one picture.
            seed: of the order and the augmentation.
            device: where the batches are wanted.
            keep_on_device: copy all pictures there once, instead of each batch when it is due.
            rank: which part of every global batch to yield, from 0.
            ranks: of how many.

        Raises:
            InputError: the identities can't fill a batch (see `plan_epoch`, `usable_pictures`), or not for so many
                processes.
        """
        self.pictures, self.p, self.k, self.seed, self.device = pictures, p, k, seed, torch.device(device)
        self.augmentation = Augmentation() if augmentation is None else augmentation
        self.rank, self.ranks = rank, ranks
        self.usable = usable_pictures(identities, single)
        self.names, self.labels = np.unique(identities[self.usable], return_inverse=True)
        """`names[label]` is the identity that a label stands for."""
        check_batches(self.names.size, p, ranks)
        self._planned = 0, plan_epoch(self.labels, p * ranks, k, np.random.default_rng([seed, 0]))  # or refuse now
        self._on_device = torch.from_numpy(np.array(pictures)).to(self.device) if keep_on_device else None

    @property
    def identities(self) -> int:
        """How many identities there are to classify."""
        return len(self.names)

    def plan(self, epoch: int) -> npt.NDArray[np.int64]:
        """Indices (batches, ranks * p * k) into the usable pictures for an epoch counted from 0."""
        if self._planned[0] != epoch:
            rng = np.random.default_rng([self.seed, epoch])
            self._planned = epoch, plan_epoch(self.labels, self.p * self.ranks, self.k, rng)
        return self._planned[1]

    def epoch(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images (p * k, 3, h, w) float32 and labels (p * k,) int64 on the device, epoch counted from 0."""
        generator = torch.Generator().manual_seed(
            int(np.random.SeedSequence([self.seed, epoch, 1]).generate_state(1)[0])
        )
        plan = self.plan(epoch)
        mine = slice(self.rank * self.p * self.k, (self.rank + 1) * self.p * self.k)
        height, width = self.pictures.shape[1:3]
        for start in range(0, len(plan), _PLANNED):
            part = plan[start : start + _PLANNED]
            drawn = [self.augmentation.draw(part.shape[1], height, width, generator)[mine] for _ in part]
            draws = Draws.stack(drawn).to(self.device)
            labels = torch.from_numpy(self.labels[part[:, mine]]).to(self.device, non_blocking=True)
            pictures = self._pictures(self.usable[part[:, mine]])
            for step, batch in enumerate(pictures):
                yield self.augmentation.apply(batch, draws[step]), labels[step]

    def _pictures(self, wanted: npt.NDArray[np.int64]) -> Iterator[Tensor]:
        """The uint8 pictures of each batch on the device."""
        if self._on_device is not None:
            for indices in torch.from_numpy(wanted).to(self.device, non_blocking=True):
                yield self._on_device[indices]
            return
        batches = (torch.from_numpy(self.pictures[indices]) for indices in wanted)
        if self.device.type != "cuda":
            yield from (batch.to(self.device) for batch in batches)
            return
        # Pages are read and pinned in a thread, while the device works on the batch before.
        for batch in ahead(batch.pin_memory() for batch in batches):
            yield batch.to(self.device, non_blocking=True)


def check_batches(identities: int, p: int, ranks: int) -> None:
    """Refuse more processes than the identities can feed.

    Raises:
        InputError: fewer than `p` x `ranks` identities, in a run of several processes.
    """
    if ranks > 1 and identities < p * ranks:
        fits = identities // p
        raise InputError(
            f"{ranks} processes with {p} identities each need {p * ranks} identities in every global batch, and the "
            f"training set has {identities}: start at most {fits} processes, or lower --batch.identities to at most "
            f"{identities // ranks}."
        )
