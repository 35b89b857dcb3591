import itertools
import json

import numpy as np
import pytest
from PIL import Image
from tests.evaluation.made import alike, made_answers, made_result, people

from strongreid.errors import InputError
from strongreid.evaluation import comparison as module
from strongreid.evaluation import sheets
from strongreid.evaluation.comparison import compare_results, sign_flip_p
from strongreid.evaluation.flips import flip_sheet
from strongreid.evaluation.intervals import interval


def simulated(seed=0, identities=40, gain=0.0):
    """Two results on the same queries; B is better by `gain` on average, and by more or less on some people."""
    rng = np.random.default_rng(seed)
    whose = people(rng, identities)
    common = alike(rng, whose)
    a, b = (0.7 * common + 0.3 * alike(rng, whose) for _ in range(2))
    return made_result(a, whose), made_result(np.clip(b + gain, 0, 1), whose, model="bb")


def slow_p(differences):
    """Every pattern of signs, in Python."""
    observed = abs(sum(differences))
    sums = [
        abs(sum(sign * d for sign, d in zip(signs, differences, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    return sum(total >= observed - 1e-12 for total in sums) / len(sums)


@pytest.mark.parametrize("seed", range(6))
def test_few_identities_are_enumerated(seed):
    rng = np.random.default_rng(seed)
    for differences in (rng.normal(0.3, 1, 8), rng.integers(-2, 4, 9).astype(float), np.full(5, 0.1)):
        assert sign_flip_p(differences) == pytest.approx(slow_p(differences.tolist()), abs=1e-15)


def test_random_flips_come_near_the_enumeration(monkeypatch):
    differences = np.random.default_rng(1).normal(0.3, 1, 14)
    exact = sign_flip_p(differences)
    monkeypatch.setattr(module, "MOST_EXACT", 0)
    monkeypatch.setattr(module, "_CELLS", 14 * 1000)  # in ten pieces
    assert sign_flip_p(differences, draws=9999, seed=2) == pytest.approx(exact, abs=0.015)
    assert sign_flip_p(np.ones(60), draws=999) == 1 / 1000  # the observed pattern counts among the random ones


def test_identities_without_a_difference_have_no_say():
    differences = np.array([0.5, -0.2, 0.7])
    assert sign_flip_p(np.concatenate([differences, np.zeros(500)])) == slow_p(differences.tolist())
    assert sign_flip_p(np.zeros(7)) == 1


def test_p_is_uniform_where_there_is_no_difference_and_small_where_there_is():
    p = np.array([compare_results(*simulated(s, 20), draws=300, seed=s).measures["mAP"].p for s in range(200)])
    assert 0.43 < p.mean() < 0.57
    assert 0.01 <= (p <= 0.05).mean() <= 0.09
    assert 0.14 <= (p <= 0.2).mean() <= 0.27
    found = [compare_results(*simulated(s, gain=0.08), draws=300, seed=s).measures["mAP"] for s in range(20)]
    assert np.mean([one.p < 0.05 for one in found]) > 0.9
    assert np.mean([one.low > 0 for one in found]) > 0.9


def test_the_difference_is_b_minus_a_and_its_interval_holds_the_truth():
    hits = 0
    for seed in range(200):
        a, b = simulated(seed)
        found = compare_results(a, b, draws=500, seed=seed).measures["mAP"]
        assert found.difference == pytest.approx(b.mAP - a.mAP)
        assert (found.a, found.b) == pytest.approx((a.mAP, b.mAP))
        hits += found.low <= 0 <= found.high
    assert 0.90 <= hits / 200 <= 0.99


def test_pairing_makes_it_narrower_than_two_intervals():
    a, b = simulated()
    paired = compare_results(a, b).measures["mAP"]
    alone = [interval(result) for result in (a, b)]
    assert paired.high - paired.low < 0.6 * sum(one.high - one.low for one in alone)


def test_the_other_way_round_everything_changes_sign():
    a, b = simulated(gain=0.05)
    there, back = compare_results(a, b), compare_results(b, a)
    for name, found in there.measures.items():
        other = back.measures[name]
        assert (found.difference, found.low, found.high) == pytest.approx(
            (-other.difference, -other.high, -other.low), abs=1e-12
        )
        assert found.p == other.p
    assert [flip.path for flip in there.flips] == [flip.path for flip in reversed(back.flips)]
    assert [flip.gained for flip in there.flips] == [not flip.gained for flip in reversed(back.flips)]


def test_the_order_of_the_queries_does_not_matter():
    a, b = simulated(gain=0.05)
    order = np.random.default_rng(0).permutation(b.queries)
    paths = [b.per_query.paths[row] for row in order]
    precision, whose = b.per_query.average_precision[order], b.per_query.identities[order]
    shuffled = made_result(precision, whose, paths=paths)
    assert compare_results(a, shuffled).json() == compare_results(a, b).json()


def test_a_result_does_not_differ_from_itself():
    a, _ = simulated()
    found = compare_results(a, a)
    for one in found.measures.values():
        assert (one.difference, one.low, one.high, one.p) == (0, 0, 0, 1)
    assert found.flips == ()
    assert found.table().endswith("first answer right in B only: 0 queries, in A only: 0")


# A: queries 0, 1, 2 and 3 right at rank 1. B: 1, 2, 4, 5 and 6.
A = made_result([0.9, 0.8, 0.7, 1.0, 0.1, 0.3, 0.2], [1, 1, 2, 2, 3, 3, 3], first=[1, 1, 1, 1, 9, 2, 3])
B = made_result([0.3, 0.8, 0.9, 0.8, 0.6, 0.9, 0.3], [1, 1, 2, 2, 3, 3, 3], first=[4, 1, 1, 2, 1, 1, 1])


def test_flips_are_the_queries_whose_first_answer_changed():
    found = compare_results(A, B)
    assert [flip.path[6:10] for flip in found.flips] == ["0005", "0004", "0006", "0003", "0000"]
    assert [flip.gained for flip in found.flips] == [True, True, True, False, False]
    first = found.flips[0]
    assert (first.identity, first.camera, first.first_match) == (3, 1, (2, 1))
    assert first.difference == pytest.approx(0.6)
    assert found.measures["Rank-1"].difference == pytest.approx(1 / 7)
    assert [[flip.path[9] for flip in found.largest_flips(n)] for n in (1, 2, 4, 9)] == [
        ["5"],
        ["5", "0"],
        ["5", "4", "3", "0"],
        ["5", "4", "6", "3", "0"],
    ]
    assert compare_results(B, A).largest_flips(4)[0].path[9] == "0"


def test_where_few_are_lost_more_of_the_gained_are_shown():
    worse = made_result(np.linspace(0.1, 0.4, 6), np.arange(6))
    better = made_result(np.linspace(0.6, 0.9, 6), np.arange(6))
    assert [len(compare_results(*pair).largest_flips(4)) for pair in ((worse, better), (better, worse))] == [4, 4]


def test_the_table_and_the_json_say_the_same():
    found = compare_results(A, B, level=0.9)
    lines = found.table(flips=2).splitlines()
    assert lines[0].split() == ["A", "B", "B", "-", "A", "90", "%", "interval", "p"]
    assert lines[4].split()[:4] == ["Rank-1", "57.14", "71.43", "+14.29"]
    assert "7 queries of 3 identities" in lines
    assert "first answer right in B only: 3 queries, in A only: 2" in lines
    assert [line.split()[:6] for line in lines[-3:-1]] == [
        ["query/0005.jpg", "gained", "2", "1", "30.00", "90.00"],
        ["query/0000.jpg", "lost", "1", "4", "90.00", "30.00"],
    ]
    assert lines[-1] == "(2 of 5; the JSON has all)"
    value = json.loads(found.json())
    assert value["measures"]["mAP"]["difference"] == pytest.approx(B.mAP - A.mAP)
    assert (value["level"], value["queries"], value["identities"], len(value["flips"])) == (0.9, 7, 3, 5)
    assert value["flips"][0]["gained"] is True


def test_a_tiny_p_is_not_printed_as_zero():
    a, b = (made_result(np.full(60, v), np.arange(60)) for v in (0.2, 0.4))
    assert compare_results(a, b, draws=100_000).table().splitlines()[2].endswith("<0.0001")


PATHS = [f"query/{row:04d}.jpg" for row in range(7)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gallery": 99}, "gallery of A has 100 pictures, that of B 99"),
        ({"leave_out": "nothing"}, "A leaves out 'same_camera', B 'nothing'"),
        ({"paths": [""] * 2 + PATHS[2:]}, "2 of the 7 queries of B have no path"),
        ({"paths": [*PATHS[:6], PATHS[0]]}, r"1 of the 7 queries of B share a path with another \(query/0000.jpg\)"),
        (
            {"paths": ["x/1.jpg", "x/2.jpg", "x/3.jpg", *PATHS[3:]]},
            r"3 of the 7 .* of A are not in B \(query/0000.jpg, query/0001.jpg, ...\), 3 of the 7 .* \(x/1.jpg, x/2",
        ),
        ({"identities": [1, 1, 2, 2, 3, 3, 4]}, "1 of 7 queries have other identities in A .*query/0006.jpg"),
    ],
)
def test_refuses_what_cannot_be_paired(changes, message):
    other = made_result(B.per_query.average_precision, **{"identities": B.per_query.identities, **changes})
    with pytest.raises(InputError, match=message):
        compare_results(A, other)


def test_says_which_queries_only_one_has():
    fewer = made_result([0.3, 0.8], [1, 1])
    with pytest.raises(InputError, match=r"5 of the 7 queries of A are not in B .*, 0 of the 2 queries of B are not"):
        compare_results(A, fewer)
    with pytest.raises(InputError, match="the 2 queries are of 1 identities"):
        compare_results(fewer, fewer)
    with pytest.raises(InputError, match="level"):
        compare_results(A, B, level=2)


@pytest.fixture
def drawn(tmp_path):
    """A and B with answers of two pictures each, and the path of a sheet."""
    for name in ("right", "wrong", *PATHS):
        path = tmp_path / name if name in PATHS else tmp_path / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (32, 64), (40, 90, 130)).save(path, format="PNG")
    pictures = [str(tmp_path / "right.png"), str(tmp_path / "wrong.png")]
    results = []
    for result in (A, B):
        ranking = result.per_query
        right = [[rank == 1, rank == 2] for rank in ranking.first_match_rank.tolist()]
        results.append(
            made_result(
                ranking.average_precision,
                ranking.identities,
                first=ranking.first_match_rank,
                paths=[str(tmp_path / path) for path in PATHS],
                answers=made_answers(pictures, right),
            )
        )
    return *results, tmp_path / "flips.png"


def border(path, row, place):
    """The colour of a tile's border on a sheet of rows with the label A or B; place 0 is the query."""
    cell = 64 + 2 * sheets.BORDER + sheets.GAP
    head = sheets.MARGIN + sheets.TITLE_HEIGHT + sheets.LEGEND_HEIGHT
    with Image.open(path) as sheet:
        label = int(sheets.ImageFont.load_default(size=sheets.TEXT_SIZE).getlength("A")) + sheets.GAP
        left = sheets.MARGIN + label + place * cell + (sheets.QUERY_GAP if place else 0)
        top = head + row * (128 + 2 * sheets.BORDER + 2 * sheets.LINE_HEIGHT + sheets.ROW_GAP)
        return sheet.getpixel((left + 1, top + 1))


def test_the_sheet_shows_the_answers_of_a_above_those_of_b(drawn):
    a, b, path = drawn
    flip_sheet(compare_results(a, b), a, b, path, queries=2)
    green, red, blue, empty = sheets.RIGHT, sheets.WRONG, sheets.QUERY, sheets.PAPER
    # Query 5, gained: right at rank 2 in A and at rank 1 in B. Query 0, lost: rank 1 in A, rank 4 in B.
    expected = [[blue, red, green], [empty, green, red], [blue, green, red], [empty, red, red]]
    assert [[border(path, row, place) for place in range(3)] for row in range(4)] == expected
    flip_sheet(compare_results(a, b), a, b, path, queries=1, top_k=1)
    assert border(path, 1, 2) == empty


def test_the_sheet_says_what_is_missing(drawn):
    a, b, path = drawn
    found = compare_results(A, B)
    with pytest.raises(InputError, match=r"A was evaluated without keeping its answers.*answers=10.*--answers 10"):
        flip_sheet(found, A, B, path)
    with pytest.raises(InputError, match="B was evaluated without"):
        flip_sheet(found, a, B, path)
    with pytest.raises(InputError, match="as right in A as in B: there is nothing to draw"):
        flip_sheet(compare_results(a, a), a, a, path)
    with pytest.raises(InputError, match="queries of at least 1, got 0"):
        flip_sheet(compare_results(a, b), a, b, path, queries=0)
    assert not path.exists()
