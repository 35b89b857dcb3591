"""What is refused before anything starts, with the name of the cell."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from strongreid.config import Config
from strongreid.data.records import DISTRACTOR
from strongreid.errors import InputError
from strongreid.experiments.sets import ReadSet


@contextmanager
def in_cell(cell: str) -> Iterator[None]:
    """An InputError raised in here names the cell.

    Raises:
        InputError: one was.
    """
    try:
        yield
    except InputError as error:
        raise InputError(f"cell ({cell}) can't run: {error}") from error


def check_training(config: Config, trained: ReadSet) -> int:
    """Refuse a training that can't run; returns the steps of its first epoch.

    Raises:
        InputError: the pictures can't fill a batch; the backbone is unknown, or has no such stride, no such weights
            or fewer stages than are to be frozen.
    """
    from strongreid.training.setup import check_filling

    steps = check_filling(config, trained.identities)
    model, size = config.model, (config.data.height, config.data.width)
    _check_backbone(model.backbone, model.pretrained, model.last_stride, model.stem_relu, size, config.optim.freeze)
    return steps


def check_testing(tested: ReadSet) -> None:
    """Refuse a data set on which no interval can be made.

    Raises:
        InputError: its queries are of fewer than 2 identities.
    """
    people = {record.identity for record in tested.dataset.query} - {DISTRACTOR}
    if len(people) < 2:
        raise InputError(
            f"the queries of {tested.about.root} are of {len(people)} identities: a result needs at least 2 for its "
            "interval."
        )


@cache
def _check_backbone(
    name: str,
    pretrained: bool | str,
    last_stride: int,
    stem_relu: bool,
    image_size: tuple[int, int],
    freeze: tuple[int, ...],
) -> None:
    """Build the network without memory for its weights: quick for any size."""
    import torch

    from strongreid.model.backbones import check_pretrained
    from strongreid.model.network import ReIDModel
    from strongreid.training.freezing import check_freezing

    check_pretrained(name, pretrained)
    with torch.device("meta"):
        model = ReIDModel(
            name,
            last_stride=last_stride,  # type: ignore[arg-type]
            pretrained=False,
            stem_relu=stem_relu,
            image_size=image_size,
        )
    check_freezing(model, freeze)
