"""Batches: a pure function of (seed, epoch), with the right picture beside every label."""

import numpy as np
import pytest
import torch

from strongreid.data.augment import Augmentation, normalize
from strongreid.data.batches import Batches
from strongreid.errors import InputError

IDENTITIES = np.random.default_rng(0).permutation(np.repeat([12, 5, 40, 7, 31], [4, 6, 5, 3, 8]))
NUMBERS = np.arange(len(IDENTITIES), dtype=np.uint8)
PICTURES = np.broadcast_to(NUMBERS[:, None, None, None], (len(NUMBERS), 8, 4, 3)).copy()  # picture i is filled with i
NOISE = np.random.default_rng(1).integers(0, 256, PICTURES.shape, dtype=np.uint8)
OFF = Augmentation(flip=0, pad=0, erasing=0)


def same(one, other):
    one, other = list(one), list(other)
    return len(one) == len(other) and all(
        torch.equal(a, b) for ours, theirs in zip(one, other, strict=True) for a, b in zip(ours, theirs, strict=True)
    )


def numbers_of(images):
    """Which pictures these are: the inverse of `normalize` on pictures that are filled with their number."""
    levels = normalize(torch.arange(256, dtype=torch.uint8)[:, None, None, None].expand(256, 8, 4, 3))
    assert all(torch.equal(image, image[:, :1, :1].expand_as(image)) for image in images)
    return [int((levels[:, 0, 0, 0] - image[0, 0, 0]).abs().argmin()) for image in images]


def test_an_epoch_depends_on_seed_and_number_alone():
    one, other = (Batches(NOISE, IDENTITIES, p=2, k=3, seed=4) for _ in range(2))
    in_order = [list(one.epoch(epoch)) for epoch in range(3)]
    assert same(other.epoch(2), in_order[2]), "an epoch must not depend on the epochs before it"
    torch.manual_seed(9)
    np.random.seed(9)  # noqa: NPY002
    assert same(other.epoch(0), in_order[0]), "nor on the global generators"
    half, whole = one.epoch(1), one.epoch(1)
    next(half)
    assert same(whole, in_order[1]), "nor on another iterator"


def test_epochs_and_seeds_differ_in_order_and_in_augmentation():
    batches = Batches(NOISE, IDENTITIES, p=2, k=3, seed=4)
    assert not np.array_equal(batches.plan(0), batches.plan(1))
    assert not np.array_equal(batches.plan(0), Batches(NOISE, IDENTITIES, p=2, k=3, seed=5).plan(0))
    # One picture of one colour everywhere: what differs is the augmentation.
    white = Batches(np.full_like(NOISE, 255), IDENTITIES, p=5, k=2, seed=4)
    first, second = (torch.cat([images for images, _ in white.epoch(epoch)])[:10] for epoch in (0, 1))
    assert not torch.equal(first, second)


def test_images_and_labels_are_those_of_the_same_picture():
    batches = Batches(PICTURES, IDENTITIES, p=3, k=2, augmentation=OFF)
    assert batches.identities == 5
    assert batches.names.tolist() == [5, 7, 12, 31, 40]
    steps = 0
    for (images, labels), planned in zip(batches.epoch(1), batches.plan(1), strict=True):
        assert images.shape == (6, 3, 8, 4)
        assert labels.dtype == torch.int64
        numbers = numbers_of(images)
        assert numbers == batches.usable[planned].tolist()
        assert batches.names[labels.numpy()].tolist() == IDENTITIES[numbers].tolist()
        steps += 1
    assert steps >= 3


def test_dropped_identities_have_no_label_and_no_picture():
    identities = np.array([9, 4, 4, 2, 8, 8, 4, 8])  # 9 and 2 stand alone, and 9 is first
    batches = Batches(PICTURES[:8], identities, p=2, k=2, augmentation=OFF, single="drop")
    assert batches.names.tolist() == [4, 8]
    seen = set()
    for epoch in range(20):
        for images, labels in batches.epoch(epoch):
            numbers = numbers_of(images)
            assert batches.names[labels.numpy()].tolist() == identities[numbers].tolist()
            seen |= set(numbers)
    assert seen == {1, 2, 4, 5, 6, 7}


def test_a_read_only_store_is_read_and_left_alone():
    pictures = NOISE.copy()
    pictures.flags.writeable = False  # as a memory-mapped store is
    batches = Batches(pictures, IDENTITIES, p=2, k=2)
    assert len(list(batches.epoch(0))) == len(batches.plan(0))
    assert np.array_equal(pictures, NOISE)


@pytest.mark.parametrize(
    ("identities", "single", "message"),
    [
        ([1, 1, 2, 2], "refuse", "2 training identities with 4 pictures"),
        ([1, 1, 2, 2, 3], "refuse", "single picture"),
        ([1, 1, 2, 2, 3], "drop", "2 training identities with 4 pictures"),
    ],
)
def test_what_cannot_fill_a_batch_is_refused_at_once(identities, single, message):
    with pytest.raises(InputError, match=message):
        Batches(PICTURES[: len(identities)], np.array(identities), p=3, k=2, single=single)


def test_processes_share_the_batch_that_one_alone_would_see():
    alone = Batches(NOISE, IDENTITIES, p=4, k=2, seed=3)
    shares = [Batches(NOISE, IDENTITIES, p=2, k=2, seed=3, rank=rank, ranks=2) for rank in range(2)]
    assert len(alone.plan(0)) > 1
    for whole, *parts in zip(alone.epoch(0), *(share.epoch(0) for share in shares), strict=True):
        for together, of_all in zip(zip(*parts, strict=True), whole, strict=True):
            assert torch.equal(torch.cat(together), of_all)


def test_more_processes_than_identities_can_feed_are_refused():
    with pytest.raises(
        InputError, match=r"3 processes with 2 identities each need 6 .* has 5: start at most 2 processes"
    ):
        Batches(NOISE, IDENTITIES, p=2, k=2, ranks=3)


def test_pictures_kept_on_the_device_give_the_same_batches():
    kept = Batches(NOISE, IDENTITIES, p=2, k=3, seed=4, keep_on_device=True)
    assert same(kept.epoch(1), Batches(NOISE, IDENTITIES, p=2, k=3, seed=4).epoch(1))


def test_draws_of_many_batches_are_those_of_each(monkeypatch):
    whole = list(Batches(NOISE, IDENTITIES, p=2, k=2, seed=6).epoch(0))
    monkeypatch.setattr("strongreid.data.batches._PLANNED", 1)
    assert same(Batches(NOISE, IDENTITIES, p=2, k=2, seed=6).epoch(0), whole)
