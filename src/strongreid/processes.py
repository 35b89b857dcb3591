"""Which of several processes this one is, as `torchrun` says; no torch."""

from __future__ import annotations

import os

from strongreid.errors import InputError


def environment_rank() -> tuple[int, int, int]:
    """Rank, number of processes, rank on this machine, as `torchrun` says; (0, 1, 0) without it.

    Raises:
        InputError: the variables contradict each other.
    """
    values = [os.environ.get(name, "") for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")]
    if not values[1] or values[1] == "1":
        return 0, 1, int(values[2] or 0)
    try:
        rank, size, local = int(values[0]), int(values[1]), int(values[2] or values[0])
        if not 0 <= rank < size or local < 0:
            raise ValueError  # noqa: TRY301
    except ValueError as error:
        raise InputError(
            f"RANK={values[0]!r}, WORLD_SIZE={values[1]!r} and LOCAL_RANK={values[2]!r} do not fit together: "
            "start the processes with torchrun, or unset WORLD_SIZE."
        ) from error
    return rank, size, local
