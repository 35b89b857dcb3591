"""The counts table, against counts made one record at a time."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from strongreid.data.inspect import count_matchable, summarize
from strongreid.data.records import DISTRACTOR, ImageRecord, ReIDDataset


def records(*people: tuple[int, int]) -> tuple[ImageRecord, ...]:
    return tuple(ImageRecord(Path(f"{i}.jpg"), identity, camera) for i, (identity, camera) in enumerate(people))


def test_the_whole_table() -> None:
    train = records(*[(1, 1)] * 5, *[(2, 2)] * 2, *[(3, 1)])
    gallery = records((7, 1), (7, 2), (8, 3), (DISTRACTOR, 4))
    dataset = ReIDDataset("mine", train, records((7, 1), (8, 3), (9, 1)), gallery, junk=6)
    assert summarize(dataset).splitlines() == [
        "mine (min, median, max: pictures per identity)",
        "split    identities  pictures  cameras  min  median  max  distractors",
        "train             3         8        2    1       2    5            0",
        "query             3         3        2    1       1    1            0",
        "gallery           2         4        4    1     1.5    2            1",
        "junk left out: 6",
        "queries with a possible match from another camera: 1 of 3",
        "training identities with a single picture: 1",
        "largest P x K batch without repeating a picture: 2 x 2",
    ]


def test_no_batch_and_no_training_pictures() -> None:
    text = summarize(ReIDDataset("mine", (), records((7, 1)), records((7, 2))))
    assert "none (needs 2 identities of 2 pictures)" in text
    assert "train             0         0        0    0       0    0            0" in text


people = st.lists(st.tuples(st.sampled_from([DISTRACTOR, 1, 2, 3]), st.integers(1, 3)), max_size=8)


@given(people, people)
def test_matchable_queries_one_by_one(query: list[tuple[int, int]], gallery: list[tuple[int, int]]) -> None:
    slow = 0
    for identity, camera in query:
        hits = [1 for other, place in gallery if other == identity != DISTRACTOR and place != camera]
        slow += len(hits) > 0
    assert count_matchable(records(*query), records(*gallery)) == slow
