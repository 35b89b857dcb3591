import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongreid.errors import InputError
from strongreid.evaluation import distances, rank_distances
from strongreid.evaluation.tracks import SET_KINDS, average_tracks, set_distances
from strongreid.features import FeatureTable

# Features of small whole numbers; a track's identity and camera follow from its number.
PICTURES = st.lists(st.tuples(st.tuples(*[st.integers(-2, 2)] * 3), st.integers(0, 4)), min_size=1, max_size=14)


def table(features, tracks, model=""):
    """One row per picture; track t shows identity t // 2 to camera t % 2, in pictures named by their rows."""
    tracks = np.asarray(tracks)
    return FeatureTable(features, tracks // 2, tracks % 2, tuple(f"{row}.jpg" for row in range(len(tracks))), model)


def unit(vector):
    length = np.sqrt((vector**2).sum())
    return vector / length if length else vector


def slow_groups(tracks):
    """{track: its rows}, in the order of first appearance."""
    groups = {}
    for row, track in enumerate(tracks):
        groups.setdefault(track, []).append(row)
    return groups


def slow_distance(a, b, metric):
    a, b = a.astype(float), b.astype(float)
    return np.sqrt(((a - b) ** 2).sum()) if metric == "euclidean" else 1 - unit(a) @ unit(b)


def slow_set_distance(ours, theirs, kind, metric):
    pairs = np.array([[slow_distance(a, b, metric) for b in theirs] for a in ours])
    if kind == "min":
        return pairs.min()
    if kind == "mean":
        return pairs.mean()
    return max(pairs.min(axis=1).max(), pairs.min(axis=0).max())


def slow_set_distances(query, gallery, query_tracks, gallery_tracks, kind, metric):
    return np.array(
        [
            [
                slow_set_distance(query.features[ours], gallery.features[theirs], kind, metric)
                for theirs in slow_groups(gallery_tracks).values()
            ]
            for ours in slow_groups(query_tracks).values()
        ]
    )


@given(PICTURES)
@settings(max_examples=60, deadline=None)
def test_a_track_is_the_mean_of_its_normalised_pictures(pictures):
    features, tracks = (np.array(column) for column in zip(*pictures, strict=True))
    pictures = table(features, tracks, "the model")
    averaged = average_tracks(pictures, tracks)
    groups = slow_groups(tracks.tolist())
    for row, (track, members) in enumerate(groups.items()):
        mean = sum(unit(pictures.features[member].astype(float)) for member in members) / len(members)
        if np.abs(mean).max() > 1e-6:  # else they cancel out but for rounding, and have no direction
            np.testing.assert_allclose(averaged.features[row], unit(mean), atol=1e-5)
        assert (averaged.identities[row], averaged.cameras[row]) == (track // 2, track % 2)
        assert averaged.paths[row] == f"{members[0]}.jpg"
    assert len(averaged) == len(groups)
    assert averaged.model == "the model"


@given(PICTURES, PICTURES, st.sampled_from(SET_KINDS), st.sampled_from(["cosine", "euclidean"]), st.integers(1, 5))
@settings(max_examples=150, deadline=None)
def test_set_distances_agree_with_loops_over_pairs(query, gallery, kind, metric, rows):
    features, query_tracks = (np.array(column) for column in zip(*query, strict=True))
    query = table(features, query_tracks)
    features, gallery_tracks = (np.array(column) for column in zip(*gallery, strict=True))
    gallery = table(features, gallery_tracks)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distances, "BLOCK_BYTES", 4 * len(gallery) * rows)  # blocks that cut tracks anywhere
        found, ours, theirs = set_distances(query, gallery, query_tracks, gallery_tracks, kind=kind, metric=metric)
    expected = slow_set_distances(query, gallery, query_tracks.tolist(), gallery_tracks.tolist(), kind, metric)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)
    for averaged, pictures, tracks in ((ours, query, query_tracks), (theirs, gallery, gallery_tracks)):
        again = average_tracks(pictures, tracks)
        np.testing.assert_allclose(averaged.features, again.features, atol=1e-6)
        assert averaged.identities.tolist() == again.identities.tolist()
        assert averaged.paths == again.paths


@pytest.mark.parametrize("kind", SET_KINDS)
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_tracks_of_one_picture_are_pictures(kind, metric, tables):
    query, gallery = (side.select(np.arange(50)) for side in tables)
    found, ours, _ = set_distances(query, gallery, range(50), range(50), kind=kind, metric=metric)
    expected = [[slow_distance(a, b, metric) for b in gallery.features] for a in query.features]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert ours.paths == query.paths


def test_the_cosine_mean_is_that_of_the_mean_features():
    rng = np.random.default_rng(0)
    query_tracks, gallery_tracks = rng.integers(0, 8, 60), rng.integers(0, 12, 90)
    query, gallery = table(rng.normal(size=(60, 5)), query_tracks), table(rng.normal(size=(90, 5)), gallery_tracks)
    found, *_ = set_distances(query, gallery, query_tracks, gallery_tracks, kind="mean")
    means = [
        [np.mean([unit(row) for row in side.features[rows].astype(float)], axis=0) for rows in groups.values()]
        for side, groups in ((query, slow_groups(query_tracks)), (gallery, slow_groups(gallery_tracks)))
    ]
    np.testing.assert_allclose(found, 1 - np.array(means[0]) @ np.array(means[1]).T, atol=1e-6)


def test_more_pictures_find_what_one_does_not():
    # The first picture of the query looks like the wrong person, the second like the right one.
    query = FeatureTable([[0, 1], [1, 0]], [7, 7], [1, 1], ("a", "b"))
    gallery = FeatureTable([[4, 3], [5, 12]], [7, 8], [2, 2], ("right", "wrong"))
    first = set_distances(query.select([0]), gallery, ["q"], [0, 1])
    both = set_distances(query, gallery, ["q", "q"], [0, 1])
    np.testing.assert_allclose(first[0], [[1 - 3 / 5, 1 - 12 / 13]], atol=1e-6)
    np.testing.assert_allclose(both[0], [[1 - 4 / 5, 1 - 12 / 13]], atol=1e-6)
    assert rank_distances(*first).first_match_rank.tolist() == [2]
    farthest = set_distances(query, gallery, ["q", "q"], [0, 1], kind="hausdorff")
    np.testing.assert_allclose(farthest[0], [[1 - 3 / 5, 1 - 5 / 13]], atol=1e-6)
    assert rank_distances(*farthest).first_match_rank.tolist() == [1]
    means = set_distances(query, gallery, ["q", "q"], [0, 1], kind="mean")
    assert rank_distances(*means).first_match_rank.tolist() == [1]


def test_names_and_numbers_name_tracks_alike():
    features = np.arange(10).reshape(5, 2)
    pictures = table(features, [3, 0, 3, 0, 2])
    names = ["third", "nought", "third", "nought", "second"]
    by_number = average_tracks(pictures, [3, 0, 3, 0, 2])
    assert by_number.paths == ("0.jpg", "1.jpg", "4.jpg")
    for labels in (names, np.array(names), np.array(names, dtype=object), tuple(names)):
        by_name = average_tracks(pictures, labels)
        np.testing.assert_array_equal(by_name.features, by_number.features)
        assert by_name.paths == by_number.paths


def test_pictures_that_cancel_out_have_no_direction():
    averaged = average_tracks(table([[3, 4], [-3, -4], [0, 2]], [0, 0, 1]), [0, 0, 1])
    np.testing.assert_array_equal(averaged.features, [[0, 0], [0, 1]])


@pytest.mark.parametrize("kind", SET_KINDS)
def test_the_distances_of_pictures_are_never_whole(kind, monkeypatch):
    rng = np.random.default_rng(0)
    query_tracks, gallery_tracks = rng.integers(0, 50, 1500), rng.integers(0, 100, 3000)
    query = table(rng.normal(size=(1500, 8)), query_tracks)
    gallery = table(rng.normal(size=(3000, 8)), gallery_tracks)
    monkeypatch.setattr(distances, "BLOCK_BYTES", 200_000)
    tracemalloc.start()
    set_distances(query, gallery, query_tracks, gallery_tracks, kind=kind)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1500 * 3000 * 4 / 8


@pytest.mark.parametrize(
    ("rows", "tracks", "message"),
    [
        ([(1, 1), (1, 1)], [0], r"the table has 2 pictures and needs as many track labels.* got int64 \(1,\)"),
        ([(1, 1), (1, 1)], [0.0, 1.0], r"got float64 \(2,\)"),
        ([(1, 1), (1, 1)], [None, "a"], r"got object \(2,\)"),
        ([], [], "the table is empty, there are no tracks"),
        ([(1, 1), (5, 1), (3, 1)], ["a", "b", "b"], r"track 'b' of the table has pictures of 2 identities \(3, 5\)"),
        ([(1, 1), (5, 2), (5, 1)], [4, 9, 9], r"track 9 of the table has pictures of 2 cameras \(1, 2\); .* mend"),
    ],
)
def test_refuses_what_are_no_tracks(rows, tracks, message):
    identities, cameras = ([row[column] for row in rows] for column in (0, 1))
    pictures = FeatureTable(np.ones((len(rows), 2)), identities, cameras, ("",) * len(rows))
    with pytest.raises(InputError, match=message):
        average_tracks(pictures, tracks)


def test_refuses_tables_that_do_not_belong_together():
    query, wide = table(np.ones((2, 3)), [0, 1], "a"), table(np.ones((2, 4)), [0, 1], "a")
    with pytest.raises(InputError, match="query features have 3 numbers, the gallery's 4"):
        set_distances(query, wide, [0, 1], [0, 1])
    with pytest.raises(InputError, match=r"different models \(query 'a', gallery 'a\+flip'\)"):
        set_distances(query, table(np.ones((2, 3)), [0, 1], "a+flip"), [0, 1], [0, 1])
    with pytest.raises(InputError, match="unknown kind 'max' of set distance; allowed: min, mean, hausdorff"):
        set_distances(query, query, [0, 1], [0, 1], kind="max")
    with pytest.raises(InputError, match="unknown metric 'l1'"):
        set_distances(query, query, [0, 1], [0, 1], metric="l1")
    with pytest.raises(InputError, match="the gallery table has 2 pictures and needs as many"):
        set_distances(query, query, [0, 1], [0, 1, 2])
    with pytest.raises(InputError, match="too large for Euclidean"):
        set_distances(table([[1e30, 0]], [0]), table([[1, 0]], [0]), [0], [0], metric="euclidean")
