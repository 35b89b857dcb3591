"""P x K identity sampling: every batch holds P identities with K pictures each (paper section 3, Luo et al. 2019)."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from strongreid.errors import InputError

SinglePicture = Literal["refuse", "drop", "repeat"]


def usable_pictures(identities: npt.NDArray[np.int64], single: SinglePicture = "refuse") -> npt.NDArray[np.int64]:
    """Indices of the pictures that may be sampled, given what to do with identities that have only one.

    A triplet needs a positive: another picture of the same identity. `single` says what happens to an identity
    without one: "refuse" the data set, "drop" the identity, or "repeat" its picture (each copy is augmented
    differently, as the paper's released sampler does).

    Raises:
        InputError: an identity has one picture and `single` is "refuse".
    """
    names, inverse, counts = np.unique(identities, return_inverse=True, return_counts=True)
    lonely = names[counts == 1]
    if lonely.size and single == "refuse":
        raise InputError(
            f"{lonely.size} training identities have a single picture ({_some(lonely)}), so no positive pair. "
            "Add pictures of them, or pass --data.single_picture drop (leave them out) or repeat (use the one)."
        )
    if single == "drop":
        return np.flatnonzero(counts[inverse] > 1)
    return np.arange(len(identities))


def plan_epoch(identities: npt.NDArray[np.int64], p: int, k: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Plan one epoch: an array (batches, p * k) of picture indices, the k pictures of an identity adjacent.

    Each identity's pictures are shuffled and cut into groups of k; a remainder smaller than k waits for another
    epoch, and an identity with fewer than k pictures forms one group in which every picture stands once before
    any stands twice. Batches draw p identities uniformly among those with groups left, until fewer than p have.
    Any sizes work: each batch has p different identities and exactly k pictures of each.

    Raises:
        InputError: fewer than p identities, or p or k too small to form triplets.
    """
    if p < 2 or k < 2:
        raise InputError(
            f"a batch of {p} identities x {k} pictures has no triplets: both must be at least 2 "
            "(--batch.identities, --batch.images)."
        )
    names, counts = np.unique(identities, return_counts=True)
    if names.size < p:
        raise InputError(
            f"{names.size} training identities with {len(identities)} pictures can't fill a batch of "
            f"{p} identities x {k} pictures: lower --batch.identities to at most {names.size}, or add identities."
        )
    groups, starts, lengths = _groups(identities, counts, k, rng)
    return _deal(groups, starts, lengths, p, rng)


def _groups(
    identities: npt.NDArray[np.int64], counts: npt.NDArray[np.int64], k: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Shuffled groups (n, k) ordered by identity, and for each identity where its groups start and how many."""
    shuffled = rng.permutation(len(identities))
    order = shuffled[np.argsort(identities[shuffled], kind="stable")]
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    lengths = np.maximum(counts // k, 1)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    owner = np.repeat(np.arange(len(counts)), lengths)
    number = np.arange(lengths.sum()) - starts[owner]
    # Cycling through the shuffled pictures uses each once before any twice where there are fewer than k.
    place = (number[:, None] * k + np.arange(k)) % counts[owner][:, None]
    return order[first[owner][:, None] + place], starts, lengths


def _deal(
    groups: npt.NDArray[np.int64],
    starts: npt.NDArray[np.int64],
    lengths: npt.NDArray[np.int64],
    p: int,
    rng: np.random.Generator,
) -> npt.NDArray[np.int64]:
    """Deal groups into batches of p distinct identities; the list of identities with groups left shrinks in place."""
    open_identities, remaining, left = np.arange(len(starts)), len(starts), lengths.copy()
    batches = []
    while remaining >= p:
        places = _distinct(remaining, p, rng)
        chosen = open_identities[places]
        left[chosen] -= 1
        batches.append(groups[starts[chosen] + left[chosen]].ravel())
        for place in sorted(places[left[chosen] == 0], reverse=True):  # from the end, so that swaps keep places valid
            remaining -= 1
            open_identities[place] = open_identities[remaining]
    return np.array(batches, dtype=np.int64)


def _distinct(n: int, p: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Draw p distinct numbers below n, uniformly; constant cost where n is large (redrawing is then rare)."""
    if n < 4 * p:
        return rng.permutation(n)[:p]
    while True:
        drawn = rng.integers(0, n, p)
        if np.unique(drawn).size == p:
            return drawn


def _some(names: npt.NDArray[np.int64], most: int = 5) -> str:
    return ", ".join(str(name) for name in names[:most]) + (", ..." if names.size > most else "")
