"""Searching against a full sort with numpy, in a folder and on a server."""

import csv
import io
import json
from types import SimpleNamespace

import numpy as np
import pytest
from tests.gallery.people import DIM, MODEL, calibration, known, nearest, people, unit

from strongreid.errors import InputError
from strongreid.evaluation import k_reciprocal
from strongreid.gallery import UNKNOWN, Gallery


def ids_of(result):
    return [match.id for match in result]


@pytest.mark.parametrize("row", [0, 17, 101, 239])
def test_finds_what_a_full_sort_finds(filled, row):
    gallery, table, more = filled
    query = table.features[row] + 0.1
    order, distances = nearest(table, query)
    result = gallery.search(query, top_k=25)
    assert ids_of(result) == order[:25]
    for match in result:
        assert match.distance == pytest.approx(distances[match.id], abs=1e-6)
        assert match.score == pytest.approx(1 - distances[match.id], abs=1e-6)
        assert (match.identity, match.camera) == (table.identities[match.id], table.cameras[match.id])
        assert (match.path, match.track) == (table.paths[match.id], more["tracks"][match.id])
        assert match.time == more["times"][match.id]
        given = {name: values[match.id] for name, values in more["labels"].items()}
        assert match.labels == {name: value for name, value in given.items() if value is not None}
        assert [type(value) for value in match.labels.values()] == [type(given[name]) for name in match.labels]


def test_a_gallery_of_euclidean_distances(empty):
    gallery, table = empty(metric="euclidean"), people(10)
    gallery.add(table, ids=range(len(table)))
    query = table.features[3] + 0.2
    order, distances = nearest(table, query, metric="euclidean")
    result = gallery.search(query, top_k=12)
    assert ids_of(result) == order[:12]
    assert [m.distance for m in result] == pytest.approx(distances[order[:12]].tolist(), rel=1e-5)
    assert [m.score for m in result] == [-m.distance for m in result]


FILTERS = {
    "one camera": ({"cameras": 2}, lambda row: row.camera == 2),
    "cameras": ({"cameras": [1, 3]}, lambda row: row.camera in (1, 3)),
    "not a camera": ({"not_cameras": np.int64(1)}, lambda row: row.camera != 1),
    "identities": ({"identities": np.array([3, 4, 99])}, lambda row: row.identity in (3, 4)),
    "track": ({"tracks": "5-2"}, lambda row: row.track == "5-2"),
    "since": ({"since": 1.7e9 + 3600 * 30}, lambda row: (row.time or 0) >= 1.7e9 + 3600 * 30),
    "before": ({"before": "2023-11-15T02:13:20Z"}, lambda row: (row.time or 9e9) < 1.7e9 + 3600 * 4),
    "between": (
        {"since": 1.7e9 + 3600 * 100, "before": 1.7e9 + 3600 * 103},
        lambda row: row.number in (100, 102),  # 101 has no time
    ),
    "text": ({"labels": {"site": ["north", "east"]}}, lambda row: row.number % 3 != 1),
    "whole": ({"labels": {"floor": 2}}, lambda row: row.number % 4 and row.number % 3 == 2),
    "flag": ({"labels": {"hat": False}}, lambda row: row.number % 2 == 1),
    "both flags": ({"labels": {"hat": [False, True]}, "cameras": 1}, lambda row: row.camera == 1),
    "all of it": (
        {"cameras": [1, 2], "since": 1.7e9, "labels": {"hat": True, "site": "north"}},
        lambda row: row.camera in (1, 2) and row.time and row.number % 6 == 0,
    ),
}


def rows_of(table, more):
    for number in range(len(table)):
        yield SimpleNamespace(
            number=number,
            camera=table.cameras[number],
            identity=table.identities[number],
            time=more["times"][number],
            track=more["tracks"][number],
        )


@pytest.mark.parametrize("name", FILTERS)
def test_a_filtered_search_misses_nothing(filled, name):
    gallery, table, more = filled
    options, passes = FILTERS[name]
    mask = [bool(passes(row)) for row in rows_of(table, more)]
    assert 0 < sum(mask) < len(mask)
    query = table.features[33]
    assert ids_of(gallery.search(query, top_k=500, **options)) == nearest(table, query, mask)[0]
    if "tracks" not in options and "not_cameras" not in options:
        assert gallery.count(**options) == sum(mask)


def test_a_filter_that_nothing_passes_says_unknown(filled):
    result = filled[0].search(filled[1].features[0], cameras=77)
    assert (len(result), result.answer) == (0, UNKNOWN)
    assert "nothing in the gallery passes" in str(result)


def test_unknown_is_beyond_the_threshold_and_probability_is_the_calibration(filled):
    gallery, table, _ = filled
    result = gallery.search(table.features[12], top_k=240)
    own = calibration()
    for match in result:
        assert match.known == (match.distance <= 0.3)
        assert match.probability == pytest.approx(float(own.probability(match.distance)), abs=1e-9)
        assert match.who == (str(match.identity) if match.known else "unknown")
    assert {match.known for match in result} == {True, False}
    assert (result.answer, result.threshold, result.fpr) == ("2", 0.3, 0.001)
    stranger = np.random.default_rng(5).standard_normal(DIM)
    assert gallery.search(stranger).answer == UNKNOWN
    other = gallery.search(table.features[12], top_k=240, fpr=0.01, prior=0.001)
    assert other.threshold == pytest.approx(0.4)
    assert other[0].probability == pytest.approx(float(own.probability(other[0].distance, 0.001)))
    assert sum(m.known for m in other) > sum(m.known for m in result)


def test_without_a_calibration_there_is_neither(empty):
    gallery = empty()
    gallery.add(people(5))
    result = gallery.search(people(5).features[0], top_k=2)
    assert [(m.known, m.probability) for m in result] == [(None, None)] * 2
    assert result.answer == "0"
    assert "no calibration" in str(result)


def test_several_pictures_of_one_person_by_their_mean(filled):
    gallery, table, _ = filled
    mean = unit(table.features[:3]).mean(axis=0)
    order, distances = nearest(table, mean)
    for given in (table.features[:3], table.select([0, 1, 2])):
        result = gallery.search(given, top_k=30)
        assert ids_of(result) == order[:30]
        assert result[0].distance == pytest.approx(distances[order[0]], abs=1e-6)


def test_several_pictures_by_the_best_of_each(filled):
    gallery, table, _ = filled
    rows = [0, 60, 130]
    distances = np.min([nearest(table, table.features[row])[1] for row in rows], axis=0)
    result = gallery.search(table.features[rows], top_k=20, combine="best")
    expected = np.sort(distances)[:20]
    assert [m.distance for m in result] == pytest.approx(expected.tolist(), abs=1e-6)
    assert set(ids_of(result)[:3]) == set(rows)


@pytest.mark.parametrize("weight", [0.5, 2.0])
def test_like_these_not_like_those(filled, weight):
    gallery, table, _ = filled
    like, unlike = table.features[:2], table.features[60:63]
    p, m = (unit(unit(part).mean(axis=0))[0] for part in (like, unlike))
    q = unit(p + weight * (p - m))[0]
    order, distances = nearest(table, q)
    result = gallery.search(like, top_k=240, unlike=unlike, unlike_weight=weight)
    assert ids_of(result)[:60] == order[:60]
    to_p, to_m = nearest(table, p)[1], nearest(table, m)[1]
    for match in result:
        assert match.score == pytest.approx(1 - distances[match.id], abs=1e-5)
        assert match.distance == pytest.approx(to_p[match.id], abs=1e-5)
        assert match.known == (to_p[match.id] <= 0.3 and to_p[match.id] < to_m[match.id])


def test_like_these_not_like_those_pushes_the_others_back(filled):
    gallery, table, _ = filled
    between = unit(table.features[0])[0] + unit(table.features[60])[0]
    plain = [m.identity for m in gallery.search(between, top_k=12)]
    away = [m.identity for m in gallery.search(between, top_k=12, unlike=table.features[60:66])]
    assert plain.count(10) > away.count(10)


def test_reranking_is_evaluations_own(filled):
    gallery, table, _ = filled
    query = table.features[45] + 0.2
    order, distances = nearest(table, query)
    near = order[:50]
    expected = k_reciprocal(
        unit(query).astype(np.float32), unit(table.features[near]).astype(np.float32), device="cpu"
    )[0]
    result = gallery.search(query, top_k=10, rerank="k_reciprocal", candidates=50)
    assert [m.reranked for m in result] == pytest.approx(np.sort(expected)[:10].tolist(), abs=1e-5)
    by_id = dict(zip(near, expected.tolist(), strict=True))
    for match in result:
        assert match.reranked == pytest.approx(by_id[match.id], abs=1e-5)
        assert match.distance == pytest.approx(distances[match.id], abs=1e-6)
    assert len(gallery.search(query, rerank="k_reciprocal", candidates=3, cameras=1, identities=7)) == 2


def test_the_result_prints_itself_and_gives_json_and_csv(filled):
    gallery, table, _ = filled
    result = gallery.search(table.features[10], top_k=3)
    lines = str(result).splitlines()
    assert lines[0].split() == "rank id who score probability time track camera floor hat site path".split()  # noqa: SIM905
    assert lines[2].split()[:4] == ["1", "10", "1", "1.0000"]
    assert lines[-1].startswith("answer: 1 (unknown beyond a cosine distance of 0.3000, which 0.1 % of pairs")
    value = json.loads(result.json())
    assert (value["answer"], value["threshold"], len(value["matches"])) == ("1", 0.3, 3)
    assert value["matches"][0]["labels"]["site"] == "south"
    rows = list(csv.DictReader(io.StringIO(result.csv())))
    assert (rows[0]["rank"], rows[0]["id"], rows[0]["who"]) == ("1", "10", "1")
    assert [row["path"] for row in rows] == [match.path for match in result]


def test_features_of_entries_search_again(filled):
    gallery, table, _ = filled
    found = gallery.features([7, 3])
    np.testing.assert_allclose(found, unit(table.features[[7, 3]]), atol=1e-6)
    assert gallery.search(found[0], top_k=1)[0].id == 7
    with pytest.raises(InputError, match="has no entry 999"):
        gallery.features([7, 999])


def bad(**options):
    return options


@pytest.mark.parametrize(
    ("features", "options", "message"),
    [
        (np.ones(DIM + 1), {}, "have 17 numbers, those of .* have 16"),
        (np.full(DIM, np.nan), {}, "hold NaN or infinity"),
        (np.full((2, DIM), np.inf), {}, "hold NaN or infinity"),
        (np.ones((1, 2, DIM)), {}, "numbers of shape"),
        (np.ones((0, DIM)), {}, "no features to search by"),
        (np.zeros(DIM), {}, "cancel out to zero"),
        ("picture.jpg", {}, "numbers of shape"),
        (people(2, model="b" * 64), {}, "come from the model 'bbb.* holds those of 'aaa"),
        (np.ones(DIM), bad(model="b" * 64), "come from the model 'bbb"),
        (people(2, model=""), {}, "come from the model 'unknown'"),
        (np.ones(DIM), bad(unlike=np.ones(3)), "have 3 numbers"),
        (np.ones(DIM), bad(unlike_weight=0), "unlike_weight is above 0"),
        (np.ones(DIM), bad(top_k=0), "top_k is a whole number from 1 to 10000, got 0"),
        (np.ones(DIM), bad(top_k=10**12), "top_k is a whole number from 1 to 10000"),
        (np.ones(DIM), bad(top_k=2.5), "top_k is a whole number"),
        (np.ones(DIM), bad(candidates=-1), "candidates is a whole number"),
        (np.ones(DIM), bad(combine="median"), "combine is one of mean, best, got 'median'"),
        (np.ones(DIM), bad(rerank="gnn"), "rerank is one of k_reciprocal or nothing"),
        (np.ones(DIM), bad(prior=1.0), "a prior is a probability above 0 and below 1"),
        (np.ones(DIM), bad(fpr=0.5), "no threshold for a false positive rate of 0.5"),
        (np.ones(DIM), bad(fpr=0.0001), "too few pairs"),
        (np.ones(DIM), bad(cameras=[]), "no values to filter camera by"),
        (np.ones(DIM), bad(cameras="north"), "camera is whole numbers in this gallery, got 'north'"),
        (np.ones(DIM), bad(identities=True), "identity is whole numbers"),
        (np.ones(DIM), bad(cameras=2.0), "a filter takes a value or several, got 2.0"),
        (
            np.ones(DIM),
            bad(labels={"colour": "red"}),
            "no label 'colour' to filter by; it has identity, camera, .*site",
        ),
        (np.ones(DIM), bad(labels={"floor": "second"}), "floor is whole numbers in this gallery, got 'second'"),
        (np.ones(DIM), bad(labels={"hat": 1}), "hat is True or False in this gallery, got 1"),
        (np.ones(DIM), bad(since="noon"), "a date such as 2026-03-01T08:30:00Z, got 'noon'"),
        (np.ones(DIM), bad(since=5, before=5), "the time range 5 to 5 is empty"),
    ],
)
def test_refuses_what_makes_no_sense(filled, features, options, message):
    with pytest.raises(InputError, match=message):
        filled[0].search(features, **options)


def test_an_approximate_search_needs_its_index(tmp_path):
    with Gallery(tmp_path / "g") as gallery:
        gallery.add(people(3))
        with pytest.raises(InputError, match="has no approximate index"):
            gallery.search(people(3).features[0], approximate=True)
        with pytest.raises(InputError, match=r"has 18 entries; an approximate index is built from 50,000 on"):
            gallery.rebuild(approximate=True)


@pytest.fixture
def with_graph(tmp_path, monkeypatch):
    """A gallery of 1,200 entries with an approximate index, and its entries."""
    monkeypatch.setattr("strongreid.gallery.folder.APPROXIMATE_FROM", 1000)
    table = people(300, 4, dim=64)
    with Gallery(tmp_path / "g") as gallery:
        gallery.add(table)
        gallery.rebuild(approximate=True)
        yield gallery, table


def test_a_recall_that_is_too_low_makes_it_try_harder(with_graph, tmp_path, monkeypatch):
    gallery, _ = with_graph
    with gallery:
        least = gallery.info().details["approximate"]
        monkeypatch.setattr("strongreid.gallery.recall.ENOUGH", 1.1)  # never enough
        gallery.rebuild(approximate=True)
        most = gallery.info().details["approximate"]
        assert (least["effort"], most["effort"]) == (128, 1024)
        assert most["recall_at_10"] >= least["recall_at_10"] >= 0.95
        assert "with 1024 candidates" in str(gallery.info())
    with Gallery(tmp_path / "g") as gallery:
        assert gallery.info().details["approximate"] == most
        assert gallery._store.engine.effort == 1024


def test_an_approximate_index_says_its_recall(with_graph, tmp_path):
    gallery, table = with_graph
    with gallery:
        graph = gallery.info().details["approximate"]
        assert graph["indexed"] == 1200
        assert 0.8 < graph["recall_at_10"] <= 1
        hits = 0
        for row in range(0, 1200, 60):
            right, near = (
                gallery.search(table.features[row], approximate=approximate) for approximate in (False, True)
            )
            assert (right.exact, near.exact) == (True, False)
            assert ids_of(right) == nearest(table, table.features[row])[0][:10]
            hits += len(set(ids_of(right)) & set(ids_of(near)))
        assert hits / 200 > 0.8
        filtered = gallery.search(table.features[7], top_k=50, cameras=2, approximate=True)
        assert filtered.exact
        assert ids_of(filtered) == nearest(table, table.features[7], table.cameras == 2)[0][:50]
    with Gallery(tmp_path / "g") as gallery:
        assert gallery.info().details["approximate"] == graph
        assert "recall@10" in str(gallery.info())
        gallery.rebuild()
        assert gallery.info().details["approximate"] is None


def test_the_model_is_known_to_features_of_a_table(filled):
    assert filled[0].info().description.model == MODEL
    assert filled[0].search(known and filled[1].select([3]), top_k=1)[0].id == 3
