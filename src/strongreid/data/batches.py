"""Sampler and store together: an epoch of augmented (images, labels), a pure function of (seed, epoch)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from strongreid.data.augment import Augmentation
from strongreid.data.sampler import SinglePicture, plan_epoch, usable_pictures


class Batches:
    """P x K batches of one training set.

    Nothing random is kept between epochs: `epoch(n)` depends on the seed and n alone, so a resumed run sees the
    very batches it would have seen.
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
    ) -> None:
        """Take decoded `pictures` (n, h, w, 3) and who they show, `identities` (n,).

        Raises:
            InputError: the identities can't fill a batch of p x k (see `plan_epoch`, `usable_pictures`).
        """
        self.pictures, self.p, self.k, self.seed, self.device = pictures, p, k, seed, torch.device(device)
        self.augmentation = Augmentation() if augmentation is None else augmentation
        self.usable = usable_pictures(identities, single)
        self.names, self.labels = np.unique(identities[self.usable], return_inverse=True)
        """`names[label]` is the identity that a label stands for."""
        plan_epoch(self.labels, p, k, np.random.default_rng(0))  # refuse now, not after the model is built

    @property
    def identities(self) -> int:
        """How many identities there are to classify."""
        return len(self.names)

    def plan(self, epoch: int) -> npt.NDArray[np.int64]:
        """Indices (batches, p * k) into the usable pictures for an epoch counted from 0."""
        return plan_epoch(self.labels, self.p, self.k, np.random.default_rng([self.seed, epoch]))

    def epoch(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images (p * k, 3, h, w) float32 and labels (p * k,) int64 on the device, epoch counted from 0."""
        generator = torch.Generator().manual_seed(
            int(np.random.SeedSequence([self.seed, epoch, 1]).generate_state(1)[0])
        )
        for batch in self.plan(epoch):
            pictures = torch.from_numpy(self.pictures[self.usable[batch]]).to(self.device, non_blocking=True)
            labels = torch.from_numpy(self.labels[batch]).to(self.device, non_blocking=True)
            yield self.augmentation(pictures, generator), labels
