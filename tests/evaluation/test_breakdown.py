import json
from dataclasses import replace

import numpy as np
import pytest

from strongreid.errors import InputError
from strongreid.evaluation import distances, evaluate
from strongreid.evaluation.breakdown import by_camera, by_identity, camera_pairs, distractor_curve
from strongreid.features import FeatureTable


def drawn(n, seed, distractors=0, cameras=4, dim=5):
    """Pictures of 9 people, and distractors, by several cameras; features of whole numbers, many distances equal."""
    rng = np.random.default_rng(seed)
    identities = rng.permutation(np.concatenate([rng.integers(1, 10, n), np.full(distractors, -1)]))
    features = np.random.default_rng(5).integers(-2, 3, (11, dim))[identities] + rng.integers(
        -2, 3, (len(identities), dim)
    )
    names = tuple(f"{seed}-{row}.jpg" for row in range(len(identities)))
    return FeatureTable(features, identities, rng.integers(1, cameras + 1, len(identities)), names)


@pytest.fixture(scope="module")
def query():
    return drawn(30, 1)


@pytest.fixture(scope="module")
def gallery():
    return drawn(60, 2, distractors=50)


def reduced(gallery, count, seed):
    """The gallery with `count` of its distractors, in the documented random order."""
    extra = np.flatnonzero(gallery.identities == -1)
    kept = gallery.identities != -1
    kept[extra[np.random.default_rng(seed).permutation(len(extra)) < count]] = True
    return gallery.select(kept)


@pytest.mark.parametrize("leave_out", ["same_camera", "nothing"])
@pytest.mark.parametrize("seed", [0, 7])
def test_every_point_of_the_curve_is_an_evaluation_of_the_reduced_gallery(query, gallery, seed, leave_out):
    counts = [0, 1, 5, 24, 49, 50]
    curve = distractor_curve(query, gallery, counts, "euclidean", leave_out=leave_out, seed=seed)
    assert [point.distractors for point in curve.points] == counts
    for point in curve.points:
        smaller = reduced(gallery, point.distractors, seed)
        assert (smaller.identities == -1).sum() == point.distractors
        result = evaluate(query, smaller, "euclidean", leave_out=leave_out)
        assert (point.mAP, point.rank1) == pytest.approx((result.mAP, result.rank(1)), rel=1e-12)
        assert curve.queries == result.queries
    for before, after in zip(curve.points, curve.points[1:], strict=False):
        assert after.mAP <= before.mAP
        assert after.rank1 <= before.rank1
    assert curve.points[-1].mAP < curve.points[0].mAP


def test_the_curve_of_the_recorded_features(tables):
    query, gallery = tables
    present = int((gallery.identities == -1).sum())
    curve = distractor_curve(query, gallery)
    assert [point.distractors for point in curve.points] == [round(present * step / 4) for step in range(5)]
    for point in (curve.points[0], curve.points[2], curve.points[-1]):
        result = evaluate(query, reduced(gallery, point.distractors, 0))
        assert point.mAP == pytest.approx(result.mAP, abs=1e-6)
        assert point.rank1 == result.rank(1)


def test_the_seed_alone_decides_the_curve(query, gallery, monkeypatch):
    curve = distractor_curve(query, gallery, [10, 30], "euclidean")
    assert distractor_curve(query, gallery, [30, 10, 30], "euclidean") == curve, "in ascending order, each once"
    assert distractor_curve(query, gallery, [10, 30], "euclidean", seed=1).points != curve.points
    (point,) = distractor_curve(query, gallery, [30], "euclidean").points
    assert point == curve.points[1], "a point does not depend on the others"
    monkeypatch.setattr(distances, "BLOCK_BYTES", 3 * 4 * len(gallery))
    assert distractor_curve(query, gallery, [10, 30], "euclidean") == curve


def test_a_curve_prints_and_is_json(query, gallery):
    curve = distractor_curve(query, gallery, [0, 50], "euclidean")
    head, rule, first, last = curve.table().splitlines()
    assert head.split() == ["distractors", "mAP", "Rank-1"]
    assert len(rule) == len(head) == len(first) == len(last)
    assert last.split() == ["50", f"{100 * curve.points[1].mAP:.2f}", f"{100 * curve.points[1].rank1:.2f}"]
    value = json.loads(curve.json())
    assert value["queries"] == curve.queries
    assert value["points"][0] == {"distractors": 0, "mAP": curve.points[0].mAP, "rank1": curve.points[0].rank1}


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([0, 51, 80], "has 50 distractors .*so 51, 80 can't be had; choose numbers from 0 to 50"),
        ([-1], "so -1 can't be had"),
        ([], "at least one number of distractors, from 0 to the 50"),
    ],
)
def test_refuses_counts_beyond_the_distractors_present(query, gallery, counts, message):
    with pytest.raises(InputError, match=message):
        distractor_curve(query, gallery, counts)


def test_refuses_curves_that_can_not_be(query, gallery):
    with pytest.raises(InputError, match=r"no distractors \(identity -1\), so there is no curve"):
        distractor_curve(query, gallery.select(gallery.identities != -1))
    with pytest.raises(InputError, match="whole number from 0, got -2"):
        distractor_curve(query, gallery, seed=-2)
    with pytest.raises(InputError, match="no query has a possible match"):
        distractor_curve(query, gallery.select(gallery.identities == -1))
    with pytest.raises(InputError, match="unknown metric 'l1'"):
        camera_pairs(query, gallery, "l1")
    with pytest.raises(InputError, match="the gallery table is empty"):
        camera_pairs(query, gallery.select([]))


@pytest.mark.parametrize("leave_out", ["same_camera", "nothing"])
def test_a_pair_of_cameras_is_an_evaluation_of_their_pictures(query, gallery, leave_out):
    gallery = gallery.select(gallery.cameras != 3)  # a camera of queries only
    pairs = camera_pairs(query, gallery, "euclidean", leave_out=leave_out)
    assert pairs.cameras == (1, 2, 3, 4)
    for (row, column), count in np.ndenumerate(pairs.queries):
        asking, shown = (
            table.select(table.cameras == pairs.cameras[place]) for table, place in ((query, row), (gallery, column))
        )
        if not count:
            assert np.isnan(pairs.mAP[row, column])
            assert np.isnan(pairs.rank1[row, column])
            with pytest.raises(InputError):
                evaluate(asking, shown, "euclidean", leave_out=leave_out)
            continue
        result = evaluate(asking, shown, "euclidean", leave_out=leave_out)
        assert pairs.mAP[row, column] == pytest.approx(result.mAP, rel=1e-12)
        assert (pairs.rank1[row, column], count) == (result.rank(1), result.queries)
    assert (np.diag(pairs.queries) > 0).tolist() == [leave_out == "nothing" and camera != 3 for camera in range(1, 5)]


def test_pairs_of_cameras_print_and_are_json(query, gallery):
    pairs = camera_pairs(query, gallery, "euclidean")
    head, rule, *rows = pairs.table().splitlines()
    assert head.startswith("query \\ gallery")
    assert head.endswith("camera 4")
    assert {len(line) for line in (rule, *rows)} == {len(head)}
    assert rows[0].split()[:3] == ["camera", "1", "-"]
    assert f"{100 * pairs.mAP[0, 1]:.2f} ({pairs.queries[0, 1]})" in rows[0]
    value = json.loads(pairs.json())
    assert value["cameras"] == [1, 2, 3, 4]
    assert value["mAP"][0][0] is None
    assert value["rank1"][0][1] == pairs.rank1[0, 1]
    assert value["queries"] == pairs.queries.tolist()


@pytest.mark.parametrize(
    ("group", "by", "numbers"), [(by_identity, "identity", "identities"), (by_camera, "camera", "cameras")]
)
def test_groups_of_queries_worst_first(query, gallery, group, by, numbers):
    result = evaluate(query, gallery, "euclidean")
    found = group(result)
    assert found.by == by
    ranking = result.per_query
    expected = []
    for number in sorted(set(getattr(ranking, numbers).tolist())):
        own = getattr(ranking, numbers) == number
        precision = ranking.average_precision[own].mean()
        expected.append((precision, (ranking.first_match_rank[own] == 1).mean(), number, int(own.sum())))
    expected.sort()
    assert [entry.number for entry in found.groups] == [number for *_, number, _ in expected]
    assert [entry.queries for entry in found.groups] == [count for *_, count in expected]
    np.testing.assert_allclose([(e.mAP, e.rank1) for e in found.groups], [e[:2] for e in expected], rtol=1e-12)
    weighted = sum(entry.mAP * entry.queries for entry in found.groups) / result.queries
    assert weighted == pytest.approx(result.mAP)


def test_groups_print_their_worst_and_are_json(query, gallery):
    found = by_identity(evaluate(query, gallery, "euclidean"))
    head, _, first, second, rest = found.table(limit=2).splitlines()
    assert head.split() == ["identity", "queries", "mAP", "Rank-1"]
    assert first.split()[0] == str(found.groups[0].number)
    assert second.split()[2] == f"{100 * found.groups[1].mAP:.2f}"
    assert rest == f"... and {len(found.groups) - 2} more, all at least as good"
    assert len(found.table().splitlines()) == len(found.groups) + 2
    assert [entry["number"] for entry in json.loads(found.json())["groups"]] == [e.number for e in found.groups]


def test_equally_precise_groups_are_ordered_by_their_first_hits_then_by_number(query, gallery):
    result = evaluate(query, gallery, "euclidean")
    ranking = replace(
        result.per_query,
        average_precision=np.full(result.queries, 0.5),
        first_match_rank=np.where(result.per_query.cameras == 3, 1, np.where(result.per_query.cameras == 2, 1, 4)),
    )
    found = by_camera(replace(result, per_query=ranking))
    assert [(entry.number, entry.rank1) for entry in found.groups] == [(1, 0), (4, 0), (2, 1), (3, 1)]
