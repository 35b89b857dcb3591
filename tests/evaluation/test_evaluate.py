import json
import re
import subprocess
import sys
from dataclasses import fields, replace

import numpy as np
import pytest

from strongreid.errors import InputError
from strongreid.evaluation import EvalResult, compare_table, evaluate, rank_features, top_matches
from strongreid.features import FeatureTable


def table(identities, cameras, dim=2, model=""):
    n = len(identities)
    features = np.arange(n * dim, dtype=np.float32).reshape(n, dim) + 1
    return FeatureTable(features, identities, cameras, ("",) * n, model)


@pytest.fixture(scope="module")
def result(tables):
    return evaluate(*tables, answers=3)


def test_means_of_the_ranking(tables, result, golden):
    ranking = rank_features(*tables)
    assert result.mAP == pytest.approx(float(golden["eval_cosine_map"]), abs=1e-6)
    assert result.mINP == ranking.inverse_negative_penalty.mean()
    assert (result.queries, result.skipped, result.gallery, len(result.cmc)) == (136, 24, 1200, 50)
    assert result.rank(1) == result.cmc[0] == (ranking.first_match_rank == 1).mean()


@pytest.mark.parametrize("arguments", [{}, {"metric": "euclidean"}, {"device": "cpu:0"}])
def test_answers_are_the_nearest_pictures_of_the_evaluated_queries(tables, arguments):
    query, gallery = tables
    result = evaluate(query, gallery, answers=4, **arguments)
    nearest, far = top_matches(query, gallery, 4, arguments.get("metric", "cosine"))
    rows = result.per_query.query
    assert result.answers.paths == tuple(tuple(gallery.paths[g] for g in nearest[row]) for row in rows)
    np.testing.assert_array_equal(result.answers.distances, far[rows])
    right = gallery.identities[nearest[rows]] == query.identities[rows][:, None]
    assert result.answers.right == tuple(map(tuple, right.tolist()))
    assert [own[0] for own in result.answers.right] == (result.per_query.first_match_rank == 1).tolist()


def test_answers_of_reranking_are_in_its_order(tables):
    query, gallery = tables[0].select(np.arange(40)), tables[1].select(np.arange(200))
    result = evaluate(query, gallery, rerank="k_reciprocal", answers=5)
    assert [own[0] for own in result.answers.right] == (result.per_query.first_match_rank == 1).tolist()
    assert all(list(own) == sorted(own) for own in result.answers.distances)


def test_queries_keep_their_names(tables, result):
    rows = result.per_query.query
    assert result.per_query.identities.tolist() == tables[0].identities[rows].tolist()
    assert result.per_query.cameras.tolist() == tables[0].cameras[rows].tolist()
    assert result.per_query.paths == tuple(tables[0].paths[row] for row in rows)


def test_without_cameras(tables):
    query, gallery = (replace(t, cameras=np.zeros(len(t), dtype=np.int64)) for t in tables)
    with pytest.raises(InputError, match='leave_out="nothing"'):
        evaluate(query, gallery)
    assert evaluate(query, gallery, leave_out="nothing").skipped <= 24


def test_reranking_uses_lengths_only_under_euclidean(tables):
    query, gallery = tables[0].select(np.arange(40)), tables[1].select(np.arange(200))
    scaled = replace(gallery, features=gallery.features * np.linspace(0.2, 5, 200, dtype=np.float32)[:, None])
    cosine, euclidean = (
        [evaluate(query, g, metric, rerank="k_reciprocal").mAP for g in (gallery, scaled)]
        for metric in ("cosine", "euclidean")
    )
    assert cosine[0] == pytest.approx(cosine[1], abs=1e-9)
    assert abs(euclidean[0] - euclidean[1]) > 0.01
    assert cosine[0] > evaluate(query, gallery).mAP


def test_cmc_is_flat_beyond_the_gallery():
    result = evaluate(table([1, 2], [1, 1]), table([1, 2, -1], [2, 2, 2]), max_rank=7)
    assert len(result.cmc) == 7
    assert set(result.cmc[2:]) == {1.0}
    with pytest.raises(InputError, match="ranks 1 to 7, got 8; evaluate with max_rank >= 8"):
        result.rank(8)


def test_one_picture_is_gallery_enough():
    result = evaluate(table([5], [1]), table([5], [2]))
    assert (result.mAP, result.mINP, result.rank(1), result.skipped) == (1, 1, 1, 0)


def test_table_shows_percent_and_counts(result):
    head, rule, row = result.table().splitlines()
    assert head.split() == ["mAP", "mINP", "Rank-1", "Rank-5", "Rank-10", "queries", "skipped", "gallery"]
    assert len(head) == len(rule) == len(row)
    shares = [result.mAP, result.mINP, *(result.rank(k) for k in (1, 5, 10))]
    assert row.split() == ["cosine", *(f"{100 * s:.2f}" for s in shares), "136", "24", "1200"]


def test_compare_table_aligns_rows_and_marks_ranks_not_computed(tables, result):
    text = compare_table({"ours": result, "a longer name": evaluate(*tables, "euclidean", max_rank=6)})
    lines = text.splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[3].split()[-4:] == ["-", "136", "24", "1200"]
    assert lines[3].startswith("a longer name  31.18")


def test_save_and_load_round_trip(result, tmp_path):
    result.save(tmp_path / "run" / "result.json")
    loaded = EvalResult.load(tmp_path / "run" / "result.json")
    for field in fields(result):
        if field.name not in ("per_query", "answers"):
            assert getattr(loaded, field.name) == getattr(result, field.name)
    for field in fields(result.per_query):
        ours, theirs = getattr(result.per_query, field.name), getattr(loaded.per_query, field.name)
        np.testing.assert_array_equal(ours, theirs)
    assert vars(loaded.answers) == vars(result.answers)
    assert loaded.table() == result.table()
    assert json.loads(result.json())["mAP"] == result.mAP


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:200], "damaged or no JSON"),
        (lambda _: "[1, 2]", "no evaluation result: it lacks the format 'strongreid.evaluation'"),
        (lambda _: '{"format": "other"}', "no evaluation result"),
        (lambda text: text.replace('"version": 2', '"version": 9'), "version 9, and this strongreid reads 2"),
        (lambda text: text.replace('"mINP"', '"mNIP"'), "damaged: it lacks 'mINP'"),
        (lambda text: text.replace('"first_match_rank": [', '"first_match_rank": [1,'), "other lengths"),
        (lambda text: text.replace('"cmc": [', '"cmc": ["x",'), "damaged"),
        (lambda text: text.replace('"right": [', '"right": [[true],'), "the answers have another length"),
    ],
)
def test_load_refuses_what_is_damaged_or_foreign(result, tmp_path, change, message):
    path = tmp_path / "result.json"
    result.save(path)
    path.write_text(change(path.read_text()))
    with pytest.raises(InputError, match=message) as caught:
        EvalResult.load(path)
    assert str(path) in str(caught.value)


def test_load_says_when_there_is_nothing(tmp_path):
    with pytest.raises(InputError, match=re.escape(f"no evaluation result at {tmp_path / 'none.json'}")):
        EvalResult.load(tmp_path / "none.json")


GOOD = ([1, 2], [1, 1]), ([1, 2], [2, 2])


@pytest.mark.parametrize(
    ("query", "gallery", "arguments", "message"),
    [
        (*GOOD, {"metric": "manhattan"}, "unknown metric 'manhattan'; allowed: cosine, euclidean"),
        (*GOOD, {"rerank": "magic"}, "unknown rerank 'magic'; allowed: None, k_reciprocal"),
        (*GOOD, {"answers": -1}, "answers .* at least 0, got -1"),
        (*GOOD, {"leave_out": "junk"}, "unknown rule 'junk'"),
        (*GOOD, {"max_rank": 0}, "max_rank .* at least 1, got 0"),
        (([], []), GOOD[1], {}, "the query table is empty"),
        (GOOD[0], ([], []), {}, "the gallery table is empty"),
        (GOOD[0], ([1, 2], [2, 2], 3), {}, "query features have 2 numbers, the gallery's 3; .*same model"),
        (([1], [1], 2, "aa"), ([1], [2], 2, "bb"), {}, "different models .query 'aa', gallery 'bb'"),
        (([1, 2], [1, 1]), ([7, 8, -1], [2, 2, 2]), {}, r"\(1, 2\).*the 2 .*\(7, 8\).*none in common"),
        (([-1], [1]), ([-1], [2]), {}, "none in common"),
        (([1, 2], [3, 3]), ([1, 2], [3, 3]), {}, "every picture has camera 3.*leave_out=\"nothing\""),
        (GOOD[0], ([1, 2], [2, 2]), {"leave_out": "same_picture"}, "share one"),
        (([1, 2], [1, 2]), ([1, 2], [1, 2]), {}, r"2 shared identities \(1, 2\) is seen by one"),
    ],
)  # fmt: skip
def test_refuses_bad_input(query, gallery, arguments, message):
    with pytest.raises(InputError, match=message):
        evaluate(table(*query), table(*gallery), **arguments)


def test_one_known_model_is_enough():
    assert evaluate(table([1], [1]), table([1], [2], model="aa")).model == "aa"


def test_the_room_is_light():
    code = "import sys, strongreid.evaluation; print({'torch', 'pyarrow', 'matplotlib'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
