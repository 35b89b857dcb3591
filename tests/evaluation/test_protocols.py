from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongreid.errors import InputError
from strongreid.evaluation import distances, evaluate
from strongreid.evaluation.protocols import (
    PROTOCOLS,
    Protocol,
    evaluate_partitions,
    evaluate_protocol,
    protocol_named,
)
from strongreid.features import FeatureTable

ROW = st.tuples(st.integers(0, 8), st.integers(-1, 3), st.integers(1, 2))
"""A corner of a small grid (many equal distances), an identity and a camera."""
ROWS = st.lists(ROW, min_size=1, max_size=20)
GRID = np.array(list(product((-1, 0, 1), repeat=2)), dtype=np.float32)


def table(rows, side="p"):
    corners, identities, cameras = zip(*rows, strict=True)
    return FeatureTable(
        GRID[list(corners)], list(identities), list(cameras), tuple(f"{side}{row}.jpg" for row in range(len(rows)))
    )


def people(count=12, pictures=5, distractors=6, seed=0, side="p", dim=6):
    """Several pictures of each person by two cameras, and distractors; features of whole numbers."""
    rng = np.random.default_rng(seed)
    identities = np.concatenate([np.repeat(np.arange(1, count + 1), pictures), np.full(distractors, -1)])
    identities = rng.permutation(identities)
    centres = np.random.default_rng(99).integers(-4, 5, (count + 2, dim))
    features = centres[identities] + rng.integers(-3, 4, (len(identities), dim))
    names = tuple(f"{side}{row}.jpg" for row in range(len(identities)))
    return FeatureTable(features.astype("f4"), identities, rng.integers(1, 3, len(identities)), names)


def squared(a, b):
    return float(((a.astype(float) - b.astype(float)) ** 2).sum())


def rank_of(query, row, gallery, shown, match):
    """The rank of gallery row `match` among the rows `shown`, by a full sort; equal distances by row."""
    order = sorted(shown, key=lambda other: (squared(query.features[row], gallery.features[other]), other))
    return order.index(match) + 1


def slow_one_per_identity(query, gallery, draws, seed):
    """(row, rank in each draw) of every query with a visible match."""
    persons = [[row] for row in range(len(gallery)) if gallery.identities[row] == -1]
    known = sorted(set(gallery.identities.tolist()) - {-1})
    persons += [np.flatnonzero(gallery.identities == identity).tolist() for identity in known]
    measured = []
    for row in range(len(query)):
        identity, camera = query.identities[row], query.cameras[row]
        shares = np.random.default_rng([seed, row]).random((draws, len(persons)))
        ranks = []
        for draw in range(draws):
            shown, match = [], None
            for share, pictures in zip(shares[draw], persons, strict=True):
                own = identity != -1 and gallery.identities[pictures[0]] == identity
                if own:
                    pictures = [other for other in pictures if gallery.cameras[other] != camera]
                if pictures:
                    shown.append(pictures[int(share * len(pictures))])
                    match = shown[-1] if own else match
            if match is not None:
                ranks.append(rank_of(query, row, gallery, shown, match))
        if ranks:
            measured.append((row, ranks))
    return measured


@given(ROWS, ROWS, st.integers(1, 3), st.integers(0, 5))
@settings(max_examples=80, deadline=None)
def test_single_shot_agrees_with_a_sort_per_query_and_draw(query_rows, gallery_rows, draws, seed):
    query, gallery = table(query_rows, "q"), table(gallery_rows, "g")
    rule = Protocol("drawn", "same_camera", "one_per_identity", draws, "")
    expected = slow_one_per_identity(query, gallery, draws, seed)
    if not expected:
        with pytest.raises(InputError, match="no query has a possible match"):
            evaluate_protocol(query, gallery, rule, "euclidean", seed=seed)
        return
    results = evaluate_protocol(query, gallery, rule, "euclidean", 7, seed=seed)
    assert len(results) == draws
    for draw, result in enumerate(results):
        ranks = [own[draw] for _, own in expected]
        assert result.per_query.query.tolist() == [row for row, _ in expected]
        assert result.per_query.first_match_rank.tolist() == ranks
        np.testing.assert_allclose(result.per_query.average_precision, [1 / rank for rank in ranks])
        assert result.mAP == pytest.approx(np.mean([1 / rank for rank in ranks])) == result.mINP
        assert result.rank(2) == pytest.approx(np.mean([rank <= 2 for rank in ranks]))
        assert (result.queries, result.skipped) == (len(ranks), len(query) - len(ranks))


def test_single_shot_draws_every_visible_picture_equally_often():
    """The share of draws with the match first is the share of all combinations in which it is nearest."""
    query = FeatureTable([[0]], [1], [1], ("q",))
    own, other, distractor = [1, 5, 9], [0, 4, 6, 7], [8]
    gallery = FeatureTable(
        [[place] for place in (*own, *other, *distractor, 0)],
        [1] * 3 + [2] * 4 + [-1, 1],
        [2] * 7 + [1, 1],
        tuple("abcdefghi"),
    )
    first = np.mean([mine < min(others) for mine, *others in product(own, other, distractor)])
    rule = Protocol("drawn", "same_camera", "one_per_identity", 4000, "")
    results = evaluate_protocol(query, gallery, rule, "euclidean")
    assert np.mean([result.rank(1) for result in results]) == pytest.approx(first, abs=5 * np.sqrt(0.25 / 4000))
    assert {result.gallery for result in results} == {3}, "two people and a distractor"


def test_single_shot_of_a_gallery_of_single_pictures_is_plain_evaluation():
    query = people(20, 2, 3, seed=1, side="q")
    gallery = people(20, 1, 7, seed=2, side="g")
    plain = evaluate(query, gallery, "euclidean")
    for result in evaluate_protocol(query, gallery, "cuhk03_classic", "euclidean"):
        assert (result.mAP, result.cmc, result.skipped) == (plain.mAP, plain.cmc, plain.skipped)
        assert (result.gallery, result.leave_out) == (27, "same_camera")


def test_a_query_does_not_see_its_own_picture_under_another_label():
    query = FeatureTable([[0]], [1], [1], ("a",))
    gallery = FeatureTable([[0], [1], [2]], [2, 1, 3], [1] * 3, ("a", "b", "c"))
    rule = Protocol("drawn", "same_picture", "one_per_identity", 1, "")
    assert evaluate_protocol(query, gallery, rule, "euclidean")[0].rank(1) == 1
    assert evaluate_protocol(query, gallery, Protocol("all", "nothing", "all", 1, ""), "euclidean")[0].rank(1) == 0


@pytest.mark.parametrize("seed", [0, 3])
def test_vehicleid_agrees_with_a_sort_per_query_and_draw(seed):
    pool = people(seed=seed)
    results = evaluate_protocol(pool, None, "vehicleid", "euclidean", seed=seed)
    assert len(results) == 10
    galleries = set()
    for result in results:
        asked = result.per_query.query
        shown = np.setdiff1d(np.arange(len(pool)), asked)
        galleries.add(tuple(shown.tolist()))
        found, counts = np.unique(pool.identities[shown], return_counts=True)
        assert dict(zip(found.tolist(), counts.tolist(), strict=True)) == {-1: 6} | dict.fromkeys(range(1, 13), 1)
        for row, rank in zip(asked.tolist(), result.per_query.first_match_rank.tolist(), strict=True):
            match = next(other for other in shown if pool.identities[other] == pool.identities[row])
            assert rank == rank_of(pool, row, pool, shown.tolist(), match)
        plain = evaluate(pool.select(asked), pool.select(shown), "euclidean", leave_out="nothing")
        assert (result.mAP, result.cmc, result.queries) == (plain.mAP, plain.cmc, plain.queries)
        assert (result.gallery, result.skipped, result.leave_out) == (18, 0, "nothing")
        assert result.per_query.paths == tuple(f"p{row}.jpg" for row in asked)
    assert len(galleries) == 10


def test_vehicleid_draws_every_picture_of_an_identity_equally_often():
    pool = FeatureTable(np.arange(8).reshape(8, 1), [1, 1, 1, 2, 2, 2, 2, -1], [1] * 8, tuple("abcdefgh"))
    rule = Protocol("drawn", "nothing", "one_for_all", 6000, "", pooled=True)
    asked = np.zeros(8)
    for result in evaluate_protocol(pool, None, rule, "euclidean"):
        asked[result.per_query.query] += 1
    np.testing.assert_allclose(asked / 6000, [2 / 3] * 3 + [3 / 4] * 4 + [0], atol=5 * np.sqrt(0.25 / 6000))


def test_identities_of_one_picture_are_in_every_drawn_gallery_and_never_ask():
    pool = FeatureTable(np.arange(5).reshape(5, 1), [1, 1, 2, 3, -1], [1] * 5, tuple("abcde"))
    for result in evaluate_protocol(pool, pool, "vehicleid", "euclidean"):
        assert set(result.per_query.identities.tolist()) == {1}
        assert (result.queries, result.gallery) == (1, 4)


@pytest.mark.parametrize("name", ["cuhk03_classic", "vehicleid"])
def test_the_seed_alone_decides_the_draws(name, monkeypatch):
    query, gallery = people(seed=4, side="q"), people(seed=5, side="g")

    def ranks(seed, protocol=name):
        results = evaluate_protocol(query, gallery, protocol, "euclidean", seed=seed)
        return [result.per_query.first_match_rank.tolist() for result in results]

    whole = ranks(0)
    assert len({tuple(draw) for draw in whole}) == 10
    assert ranks(1) != whole
    fewer = Protocol("fewer", PROTOCOLS[name].leave_out, PROTOCOLS[name].gallery, 4, "", PROTOCOLS[name].pooled)
    assert ranks(0, fewer) == whole[:4], "a draw does not depend on how many follow"
    monkeypatch.setattr(distances, "BLOCK_BYTES", 3 * 4 * len(gallery))
    assert ranks(0) == whole, "nor on the size of the blocks"


@pytest.mark.parametrize("name", ["market1501", "dukemtmc", "msmt17", "cuhk03_new", "viper"])
def test_protocols_of_the_whole_gallery_are_plain_evaluation(name, tables):
    (result,) = evaluate_protocol(*tables, name, max_rank=20)
    plain = evaluate(*tables, max_rank=20)
    assert result.json() == plain.json()
    assert PROTOCOLS[name].leave_out == "same_camera"


def test_reranking_where_nothing_is_drawn():
    query, gallery = people(seed=4, side="q"), people(seed=5, side="g")
    (result,) = evaluate_protocol(query, gallery, "cuhk03_new", rerank="k_reciprocal")
    assert result.json() == evaluate(query, gallery, rerank="k_reciprocal").json()
    with pytest.raises(InputError, match=r"'vehicleid' draws its galleries.*market1501, .*all_against_all"):
        evaluate_protocol(query, gallery, "vehicleid", rerank="k_reciprocal")


def test_all_against_all_is_leave_one_out():
    pool = people(seed=6)
    (result,) = evaluate_protocol(pool, None, "all_against_all", "euclidean")
    expected = []
    for row in np.flatnonzero(pool.identities != -1).tolist():
        others = [other for other in range(len(pool)) if other != row]
        order = sorted(others, key=lambda other: (squared(pool.features[row], pool.features[other]), other))
        right = [pool.identities[other] == pool.identities[row] for other in order]
        ranks = [rank for rank, match in enumerate(right, start=1) if match]
        expected.append(np.mean([number / rank for number, rank in enumerate(ranks, start=1)]))
        alone = evaluate(pool.select([row]), pool.select(others), "euclidean", leave_out="nothing")
        assert alone.mAP == pytest.approx(expected[-1])
    np.testing.assert_allclose(result.per_query.average_precision, expected)
    assert (result.queries, result.skipped, result.gallery) == (60, 6, 66)


def test_pooled_tables_count_each_path_once():
    pool = people(seed=7)
    parts = pool.select(np.arange(40)), pool.select(np.arange(30, 66))
    for name in ("all_against_all", "vehicleid"):
        whole = evaluate_protocol(pool, None, name, "euclidean")
        joined = evaluate_protocol(*parts, name, "euclidean")
        assert [result.json() for result in joined] == [result.json() for result in whole]
        assert joined[0].per_query.paths == whole[0].per_query.paths
    twice = FeatureTable(pool.features[:3], pool.identities[:3], pool.cameras[:3], ("a", "a", "b"))
    with pytest.raises(InputError, match="pictures of one table share a path"):
        evaluate_protocol(pool, twice, "vehicleid")
    other = FeatureTable(pool.features[:1], pool.identities[:1] + 1, [1], pool.paths[:1])
    with pytest.raises(InputError, match=r"p0.jpg is identity \d+ as a query and \d+ in the gallery"):
        evaluate_protocol(pool, other, "all_against_all")


def test_partitions_are_evaluated_one_after_the_other():
    pairs = [(people(seed=seed, side="q"), people(seed=seed + 9, side="g")) for seed in range(3)]
    results = evaluate_partitions(iter(pairs), "cuhk03_classic", "euclidean", 5, seed=2)
    alone = [evaluate_protocol(*pair, "cuhk03_classic", "euclidean", 5, seed=2) for pair in pairs]
    assert [result.json() for result in results] == [result.json() for one in alone for result in one]
    with pytest.raises(InputError, match=r"split 2: .*'all'|split 2: the gallery table is empty"):
        evaluate_partitions([pairs[0], (pairs[0][0], pairs[0][1].select([]))])
    with pytest.raises(InputError, match="there are no splits"):
        evaluate_partitions([])


def test_every_protocol_is_under_its_name_and_says_where_it_is_from():
    assert all(protocol.name == name and len(protocol.description) > 40 for name, protocol in PROTOCOLS.items())
    assert protocol_named("msmt17") is PROTOCOLS["msmt17"]


@pytest.mark.parametrize(
    ("protocol", "change", "message"),
    [
        ("market", {}, r"unknown protocol 'market'; there are market1501, .* Did you mean market1501"),
        ("CUHK03", {}, "Did you mean cuhk03_"),
        ("market1501", {"gallery": None}, "'market1501' ranks a gallery: give its table"),
        ("cuhk03_classic", {"seed": -1}, "seed of the draws is a whole number from 0, got -1"),
        ("cuhk03_classic", {"max_rank": 0}, "max_rank .* at least 1, got 0"),
        ("vehicleid", {"metric": "l1"}, "unknown metric 'l1'"),
        ("vehicleid", {"query": people(5, 1), "gallery": None}, "none of the 5 identities has two pictures"),
        ("all_against_all", {"query": people(5, 1), "gallery": None}, "one picture only, the query itself"),
        ("vehicleid", {"query": people(1, 0, 5), "gallery": None}, "none of the 0 identities"),
    ],
)
def test_refuses_bad_input(protocol, change, message):
    arguments = {"query": people(side="q"), "gallery": people(side="g", seed=1)} | change
    with pytest.raises(InputError, match=message):
        evaluate_protocol(protocol=protocol, **arguments)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (("own_camera", "all", 1), "leave_out 'own_camera'.*allowed are leave_out same_camera, same_picture"),
        (("nothing", "half", 1), "gallery 'half'; allowed .* all, one_per_identity, one_for_all"),
        (("nothing", "all", 2), "has 2 draws: at least 1 is allowed, and exactly 1 where"),
        (("nothing", "one_per_identity", 0), "has 0 draws"),
        (("same_camera", "one_for_all", 3), 'needs pooled=True and leave_out="nothing"'),
    ],
)
def test_refuses_rules_that_contradict_themselves(fields, message):
    with pytest.raises(InputError, match=message):
        Protocol("mine", *fields, "")
