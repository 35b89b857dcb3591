import json
import math
from dataclasses import replace

import numpy as np
import pytest

from strongreid.errors import InputError
from strongreid.evaluation.calibration import FILE, Calibration, expected_calibration_error, reliability
from strongreid.evaluation.calibration_report import calibrate
from strongreid.evaluation.logistic import fit_logistic
from strongreid.evaluation.openset import split_identities, threshold_report
from strongreid.evaluation.pairs import BINS, PairDistances, collect_pairs
from strongreid.features import FeatureTable

MODEL = "5f" * 32


def counted(same, different, **more):
    """Pairs from {bin: count}."""
    arrays = np.zeros((2, BINS), dtype=np.int64)
    for array, counts in zip(arrays, (same, different), strict=True):
        for place, count in counts.items():
            array[place] = count
    return PairDistances("cosine", 2.0, *arrays, **more)


def drawn(same, different, seed=0, **more):
    """Pairs at normally distributed distances: (mean, deviation, number) of each kind."""
    rng = np.random.default_rng(seed)
    far = [rng.normal(mean, deviation, count).clip(0, 1.999) for mean, deviation, count in (same, different)]
    bins = [(each * BINS / 2).astype(int) for each in far]
    return PairDistances("cosine", 2.0, *(np.bincount(each, minlength=BINS) for each in bins), **more)


def people(count=300, pictures=3, spread=0.6, seed=0, model=MODEL):
    """A query of each person and gallery pictures by another camera."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(count, 16))
    who = np.repeat(np.arange(count), pictures)
    gallery = centres[who] + spread * rng.normal(size=(len(who), 16))
    query = centres + spread * rng.normal(size=centres.shape)
    return tuple(
        FeatureTable(features, identities, [camera] * len(features), [""] * len(features), model)
        for features, identities, camera in ((query, np.arange(count), 1), (gallery, who, 2))
    )


@pytest.fixture(scope="module")
def fitted():
    return Calibration.fit(drawn((0.4, 0.1, 3000), (0.8, 0.1, 200_000), model=MODEL), data="two bells")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "model.json").write_text(json.dumps({"sha256": MODEL}))
    return tmp_path


@pytest.mark.parametrize("counts", [(200_000, 200_000), (5_000, 500_000)])
def test_recovers_the_log_likelihood_ratio_of_two_normal_distributions(counts):
    # log N(d; 0.4, s) - log N(d; 0.7, s) is a straight line: (0.7^2 - 0.4^2) / 2 s^2 - 0.3 d / s^2.
    pairs = drawn((0.4, 0.1, counts[0]), (0.7, 0.1, counts[1]))
    calibration = Calibration.fit(pairs)
    assert calibration.slope == pytest.approx(-30, rel=0.05)
    assert calibration.offset == pytest.approx(16.5, rel=0.05)
    assert calibration.probability(0.55) == pytest.approx(0.5, abs=0.03)
    assert (calibration.same_pairs, calibration.different_pairs) == counts


def test_recovers_a_logistic_model():
    rng = np.random.default_rng(1)
    distances = rng.uniform(0, 2, 400_000)
    same = rng.random(len(distances)) < 1 / (1 + np.exp(7 * distances - 7))  # symmetric: half of the pairs
    bins = (distances * BINS / 2).astype(int)
    pairs = PairDistances("cosine", 2.0, *(np.bincount(bins[kind], minlength=BINS) for kind in (same, ~same)))
    slope, offset = fit_logistic(pairs)
    assert slope == pytest.approx(-7, rel=0.02)
    assert offset == pytest.approx(7, rel=0.02)


@pytest.mark.parametrize(
    ("same", "different"),
    [
        ({10_000: 30, 14_000: 30, 22_000: 4}, {12_000: 2, 20_000: 500, 30_000: 900}),
        ({100: 1}, {101: 1, 5: 1000}),
        ({10_000: 5000}, {20_000: 10_000_000_000}),  # separable
        ({10_000: 50, 10_001: 50}, {10_002: 10**6}),  # separable, close together
        ({0: 1}, {BINS - 1: 1000}),
        # Newton's method alone runs away on these
        ({64_879: 51_566}, {59_051: 7, 25_513: 6_525_086}),
        ({6_611: 337_577, 29_656: 2_795_494}, {31_880: 182, 59_160: 2_445_725, 51_852: 11}),
        ({49_412: 14_871, 27_761: 242, 37_553: 1_245_052}, {26_860: 19_143}),
    ],
)
def test_the_fit_is_where_the_loss_is_flat(same, different):
    """Gradient and curvature of the cross-entropy by the formula, over single pairs as the definition has it."""
    pairs = counted(same, different)
    slope, offset = fit_logistic(pairs)
    assert math.isfinite(slope)
    assert math.isfinite(offset)
    points = []  # (distance, weight, target)
    numbers = sum(same.values()), sum(different.values())
    targets = (numbers[0] + 1) / (numbers[0] + 2), 1 / (numbers[1] + 2)
    for counts, number, target in zip((same, different), numbers, targets, strict=True):
        points += [((place + 0.5) * 2 / BINS, count / number / 2, target) for place, count in counts.items()]
    mean = sum(w * d for d, w, _ in points)
    predicted = [(1 + math.tanh((slope * d + offset) / 2)) / 2 for d, _, _ in points]
    scale = math.sqrt(sum(w * (d - mean) ** 2 for d, w, _ in points))
    size = sum(w * min(t, 1 - t) for _, w, t in points)
    for power in (0, 1):
        slopes = [w * (p - t) * ((d - mean) / scale) ** power for (d, w, t), p in zip(points, predicted, strict=True)]
        assert abs(sum(slopes)) < 1e-3 * size


def test_separable_classes_are_as_sure_as_their_number_allows():
    for number in (10, 1000, 10**6):
        calibration = Calibration.fit(counted({10_000: number}, {20_000: number}), fpr=0.1)
        near, far = calibration.probability(np.array([10_000.5, 20_000.5]) * 2 / BINS)
        assert near == pytest.approx((number + 1) / (number + 2), abs=0.01 / number)
        assert far == pytest.approx(1 / (number + 2), rel=0.01)


def test_a_prior_moves_the_odds(fitted):
    distances = np.linspace(0, 2, 9)
    ratio = fitted.log_likelihood_ratio(distances)
    np.testing.assert_allclose(ratio, fitted.offset + fitted.slope * distances)
    for prior in (0.5, 0.001, 0.9):
        odds = np.exp(ratio) * prior / (1 - prior)
        np.testing.assert_allclose(fitted.probability(distances, prior), odds / (1 + odds), rtol=1e-9)
    assert fitted.probability([[0.1, 3.0]]).shape == (1, 2)
    assert (np.diff(fitted.probability(distances)) < 0).all()
    assert fitted.probability(np.array([-1e6, 1e6])).tolist() == [1, 0]
    for prior in (0, 1, -1, math.nan):
        with pytest.raises(InputError, match="a prior is a probability above 0 and below 1"):
            fitted.probability(0.5, prior)


def test_thresholds_are_those_of_the_pairs(fitted):
    pairs = drawn((0.4, 0.1, 3000), (0.8, 0.1, 200_000))
    assert fitted.thresholds == tuple((fpr, pairs.threshold_at_fpr(fpr)) for fpr in (1e-2, 1e-3, 1e-4))
    assert fitted.threshold() == fitted.threshold(1e-3) < fitted.threshold(1e-2)
    assert fitted.accepts([0.1, fitted.threshold(), 1.5]).tolist() == [True, True, False]
    assert fitted.accepts(0.55, 1e-2) != fitted.accepts(0.55, 1e-3)
    with pytest.raises(InputError, match=r"no threshold .* of 0\.05; it has 0\.01, 0\.001, 0\.0001.*--fpr 0\.05"):
        fitted.threshold(0.05)


def test_too_few_pairs_for_a_threshold():
    calibration = Calibration.fit(counted({5: 10}, {9: 1500}))
    assert calibration.thresholds[2] == (1e-4, None)
    with pytest.raises(InputError, match=r"of 0\.0001 for which there were too few pairs; it has 0\.01, 0\.001"):
        calibration.threshold(1e-4)
    own = Calibration.fit(counted({5: 10}, {9: 50}), fpr=0.05)
    assert [fpr for fpr, threshold in own.thresholds if threshold is not None] == [0.05]
    assert own.threshold() == own.threshold(0.05)


@pytest.mark.parametrize(
    ("pairs", "fpr", "message"),
    [
        (counted({}, {9: 5000}), 1e-3, "no pairs of the same identity"),
        (counted({9: 50}, {}), 1e-3, "no pairs of different identities"),
        (counted({5: 9}, {9: 999}), 1e-3, r"of 0\.001 takes at least 1000 pairs of different .* there are 9"),
        (counted({5: 9}, {9: 999}), 2, "above 0 and at most 1"),
        (counted({9: 9}, {5: 5000}), 1e-3, "9 pairs of the same identity are no nearer than the 5000"),
        (counted({9: 9}, {9: 5000}), 1e-3, "all pairs lie at a distance of about 0.00028"),
    ],
)  # fmt: skip
def test_refuses_pairs(pairs, fpr, message):
    with pytest.raises(InputError, match=message):
        Calibration.fit(pairs, fpr=fpr)


def test_save_and_load_round_trip(fitted, folder):
    assert fitted.save(folder) == folder / FILE
    assert Calibration.load(folder, model=MODEL, metric="cosine") == fitted
    again = Calibration.fit(drawn((0.4, 0.1, 300), (0.8, 0.1, 1000), model=MODEL))
    again.save(folder)
    assert Calibration.load(folder) == again
    assert again.thresholds[2][1] is None
    assert sorted(path.name for path in folder.iterdir()) == [FILE, "model.json"]


def test_another_model_is_refused(fitted, folder):
    fitted.save(folder)
    with pytest.raises(InputError, match=rf"belongs to features of '{MODEL}', got those of '{MODEL}\+flip'"):
        Calibration.load(folder, model=f"{MODEL}+flip")
    with pytest.raises(InputError, match="is of cosine distances and says nothing about euclidean ones"):
        Calibration.load(folder, metric="euclidean")
    (folder / "model.json").write_text(json.dumps({"sha256": "00" * 32}))
    for attempt in (lambda: Calibration.load(folder), lambda: fitted.save(folder)):
        with pytest.raises(InputError, match=f"belongs to the model '{MODEL}', but .* holds '0000"):
            attempt()
    with pytest.raises(InputError, match="belongs to the model 'unknown'"):
        replace(fitted, model="").save(folder)


def test_features_averaged_with_the_mirrored_have_their_own(fitted, folder):
    flipped = replace(fitted, model=f"{MODEL}+flip")
    flipped.save(folder)
    assert Calibration.load(folder, model=f"{MODEL}+flip") == flipped
    with pytest.raises(InputError, match="averaging with mirrored pictures"):
        Calibration.load(folder, model=MODEL)


def test_what_is_no_model_folder_is_refused(fitted, tmp_path):
    for text in (None, "{", "[]", "{}"):
        if text is not None:
            (tmp_path / "model.json").write_text(text)
        with pytest.raises(InputError, match="is not a model folder"):
            fitted.save(tmp_path)
        assert not (tmp_path / FILE).exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:100], "damaged or no JSON"),
        (lambda _: "[1]", "no calibration: it lacks the format 'strongreid.calibration'"),
        (lambda text: text.replace('"version": 1', '"version": 7'), "version 7, this program reads 1"),
        (lambda text: text.replace('"slope"', '"slop"'), "damaged: it lacks 'slope'|damaged .it lacks 'slope'"),
        (lambda text: text.replace('"slope": -', '"slope": '), "damaged .its slope"),
        (lambda text: text.replace('"slope": ', '"slope": "x", "was": '), "damaged"),
        (lambda text: text.replace('"offset": ', '"offset": 1e999, "was": '), "damaged"),
        (lambda text: text.replace('"cosine"', '"l1"'), "damaged"),
        (lambda text: text.replace('"fpr": 0.001,', '"fpr": 0.5,', 1), "damaged"),
        (lambda text: text.replace('"threshold": ', '"threshold": "x", "was": '), "damaged"),
        (lambda text: text.replace('"same_pairs": 3000', '"same_pairs": null'), "damaged"),
    ],
)
def test_refuses_damaged_files(fitted, folder, change, message):
    path = fitted.save(folder)
    path.write_text(change(path.read_text()))
    with pytest.raises(InputError, match=message) as caught:
        Calibration.load(folder)
    assert str(path) in str(caught.value)


def test_says_when_there_is_none(folder):
    with pytest.raises(InputError, match=rf"has no {FILE}: run strongreid calibrate .* DATA"):
        Calibration.load(folder)


def test_reliability_is_what_counting_pairs_one_by_one_gives():
    pairs = counted({3000: 3, 16_000: 2, 30_000: 1}, {16_500: 1, 29_000: 4, 40_000: 15})
    calibration = Calibration.fit(pairs, fpr=0.1)
    for prior, bins in ((0.5, 10), (0.2, 3)):
        groups = {}
        for counts, share, right in ((pairs.same, prior, 1), (pairs.different, 1 - prior, 0)):
            for place in np.flatnonzero(counts):
                predicted = float(calibration.probability((place + 0.5) * 2 / BINS, prior))
                for _ in range(counts[place]):
                    groups.setdefault(min(int(predicted * bins), bins - 1), []).append(
                        (share / counts.sum(), predicted, right)
                    )
        rows = reliability(pairs, calibration, bins, prior)
        assert len(rows) == len(groups)
        for row, (_, members) in zip(rows, sorted(groups.items()), strict=True):
            weight = sum(w for w, _, _ in members)
            assert row.weight == pytest.approx(weight)
            assert row.predicted == pytest.approx(sum(w * p for w, p, _ in members) / weight)
            assert row.observed == pytest.approx(sum(w * y for w, _, y in members) / weight)
        assert sum(row.weight for row in rows) == pytest.approx(1)
        error = sum(row.weight * abs(row.predicted - row.observed) for row in rows)
        assert expected_calibration_error(rows) == pytest.approx(error)


def test_other_pairs_of_the_same_distributions_are_well_calibrated(fitted):
    held_out = drawn((0.4, 0.1, 3000), (0.8, 0.1, 200_000), seed=9, model=MODEL)
    assert expected_calibration_error(reliability(held_out, fitted)) < 0.005
    moved = drawn((0.5, 0.1, 3000), (0.9, 0.1, 200_000), seed=9, model=MODEL)
    assert expected_calibration_error(reliability(moved, fitted)) > 0.02


def test_reliability_refuses(fitted):
    pairs = counted({5: 1}, {9: 1}, model=MODEL)
    with pytest.raises(InputError, match="at least 1 bin, got 0"):
        reliability(pairs, fitted, 0)
    with pytest.raises(InputError, match="a prior is"):
        reliability(pairs, fitted, prior=1)
    with pytest.raises(InputError, match="belongs to features of"):
        reliability(replace(pairs, model="other"), fitted)
    with pytest.raises(InputError, match="cosine distances and says nothing about euclidean"):
        reliability(replace(pairs, metric="euclidean"), fitted)
    with pytest.raises(InputError, match="no pairs of different"):
        reliability(counted({5: 1}, {}), fitted)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_a_report_is_of_other_people_than_the_fit(metric):
    query, gallery = people()
    report = calibrate(query, gallery, metric, fpr=0.01, data="drawn", seed=4)
    fit, held = (collect_pairs(*half, metric) for half in split_identities(query, gallery, seed=4))
    assert report.calibration == Calibration.fit(fit, fpr=0.01, data="drawn")
    assert (report.calibration.metric, report.calibration.model) == (metric, MODEL)
    np.testing.assert_array_equal(report.pairs.same, held.same)
    np.testing.assert_array_equal(report.pairs.different, held.different)
    assert report.thresholds == threshold_report(fit, held, (1e-2, 1e-3, 1e-4))
    assert report.thresholds[0].fpr == pytest.approx(0.01, rel=0.5)
    assert report.calibration_error < 0.05
    assert [len(known) for known in report.search.known] == [75] * 10
    text = report.table()
    shown = report.search.rates_at(report.calibration.threshold())[0].mean
    for part in (f"{report.calibration.threshold():.4f}", f"FPIR {100 * shown:.2f} ±", "450 pairs of the same"):
        assert part in text
    assert "FNIR at FPIR 1 %: too few queries" in text


@pytest.mark.parametrize("count", [1, 3])
def test_too_few_people_are_refused(count):
    with pytest.raises(InputError, match=f"at least 4 identities, 2 for each half; there are {count}"):
        calibrate(*people(count), fpr=0.5)
