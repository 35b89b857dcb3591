"""Planning an epoch of P x K batches, against the straightforward Python sampler.

    python benchmarks/sampler.py [RUNS]

Market-1501's size (751 identities of uneven size, 12,936 pictures) and 100,000 identities with 1,000,000 pictures.
The straightforward side keeps a list of pictures for each identity, shuffles and cuts each with Python's `random`,
and draws P of the identities that have groups left for every batch.
"""

import random
import sys

import numpy as np
from measure import alternate, machine

from strongreid.data.sampler import plan_epoch

P, K = 16, 4
SIZES = {"market": (751, 12_936), "million": (100_000, 1_000_000)}


def drawn_identities(identities: int, pictures: int) -> np.ndarray:
    """Identities of the pictures: at least two each, the rest in a long tail."""
    rng = np.random.default_rng(0)
    weights = rng.gamma(2.0, size=identities)
    extra = rng.choice(identities, pictures - 2 * identities, p=weights / weights.sum())
    return rng.permutation(np.concatenate([np.repeat(np.arange(identities), 2), extra]))


def straightforward(identities: np.ndarray) -> list[int]:
    pictures: dict[int, list[int]] = {}
    for index, identity in enumerate(identities.tolist()):
        pictures.setdefault(identity, []).append(index)
    groups: dict[int, list[list[int]]] = {}
    for identity, mine in pictures.items():
        some = list(mine)
        if len(some) < K:
            some = random.choices(some, k=K)
        random.shuffle(some)
        groups[identity] = [some[i : i + K] for i in range(0, len(some) - K + 1, K)]
    left, order = list(groups), []
    while len(left) >= P:
        for identity in random.sample(left, P):
            order.extend(groups[identity].pop())
            if not groups[identity]:
                left.remove(identity)
    return order


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print(machine())
    for name, size in SIZES.items():
        identities = drawn_identities(*size)
        print(f"{name}: {size[0]:,} identities, {size[1]:,} pictures, batches of {P} x {K}")
        sides = {
            "plan_epoch": lambda ids=identities: plan_epoch(ids, P, K, np.random.default_rng(1)),
            "straightforward": lambda ids=identities: straightforward(ids),
        }
        measured = alternate(sides, runs)
        ours, theirs = measured["plan_epoch"], measured["straightforward"]
        print(f"pictures in an epoch: {ours.value.size:,} and {len(theirs.value):,}")
        print(f"{theirs.median / ours.median:.0f} times faster\n")


if __name__ == "__main__":
    main()
