"""Histograms of distances, counted the slow way too; curves from the logs of runs."""

import dataclasses
import itertools
import json

import numpy as np
import pytest

from strongreid.errors import InputError
from strongreid.evaluation.style import BLUE, COLOURS, VERMILLION
from strongreid.experiments.figures.curves import draw_logs, losses_of, read_log
from strongreid.experiments.figures.distances import FINE, count_distances, draw_camera_distances
from strongreid.features import FeatureTable


def table(rows, seed, prefix, identities=5):
    rng = np.random.default_rng(seed)
    return FeatureTable(
        rng.normal(size=(rows, 6)),
        rng.integers(-1, identities, rows),
        rng.integers(1, 4, rows),
        tuple(f"{prefix}{row}" for row in range(rows)),
    )


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("itself", [False, True])
def test_pairs_are_counted_as_by_hand(metric, itself):
    query = table(30, 0, "q")
    gallery = query if itself else table(40, 1, "g")
    found = count_distances(query, gallery, metric)
    expected = {(same, within): [] for same in (True, False) for within in (True, False)}
    for a, b in itertools.product(range(len(query)), range(len(gallery))):
        same = query.identities[a] == gallery.identities[b]
        if (itself and a == b) or (same and query.identities[a] == -1):
            continue
        x, y = query.features[a].astype(float), gallery.features[b].astype(float)
        far = np.linalg.norm(x - y) if metric == "euclidean" else 1 - x @ y / np.linalg.norm(x) / np.linalg.norm(y)
        expected[bool(same), bool(query.cameras[a] == gallery.cameras[b])].append(far)
    for (same, within), values in expected.items():
        counts = getattr(found, f"{'same' if same else 'different'}_{'within' if within else 'across'}")
        assert counts.sum() == len(values)
        by_hand, _ = np.histogram(values, bins=FINE, range=(0, found.upper))
        assert np.abs(np.cumsum(counts) - np.cumsum(by_hand)).max() <= 1, "a bin off by rounding at most"
        assert found.median(counts) == pytest.approx(np.median(values), abs=0.05)


def test_both_kinds_are_drawn_and_missing_ones_are_said(tmp_path, shares):
    query, gallery = table(40, 0, "q"), table(60, 1, "g")
    found = count_distances(query, gallery)
    draw_camera_distances(found, tmp_path / "all.png")
    lighter = {c: tuple(round(0.45 * v + 0.55 * 255) for v in bytes.fromhex(c[1:])) for c in (BLUE, VERMILLION)}
    assert all(shares(tmp_path / "all.png", colour) > 0.005 for colour in lighter.values())
    nobody = dataclasses.replace(found, same_across=found.same_across * 0, same_within=found.same_within * 0)
    draw_camera_distances(nobody, tmp_path / "different.svg")
    assert (tmp_path / "different.svg").read_text().count("one identity: no pairs") == 2
    with pytest.raises(InputError, match="no such pairs"):
        nobody.median(nobody.same_across)
    empty = dataclasses.replace(nobody, different_across=nobody.same_across, different_within=nobody.same_across)
    for wrong, bins in ((empty, 50), (found, 1)):
        with pytest.raises(InputError, match="needs pairs and at least 2 bins"):
            draw_camera_distances(wrong, tmp_path / "x.png", bins=bins)


def log(folder, epochs, loss=2.0, cut=""):
    folder.mkdir()
    events = [{"event": "start"}, {"event": "evaluation", "epoch": 0, "mAP": 0.02, "rank1": 0.03}]
    events += [
        {"event": "epoch", "epoch": epoch, "lr": 1e-3, "identity": loss / epoch, "triplet": 0.5}
        for epoch in range(1, epochs + 1)
    ]
    events.append({"event": "evaluation", "epoch": epochs, "mAP": 0.5, "rank1": 0.6})
    text = "".join(json.dumps(event) + "\n" for event in events) + cut
    (folder / "log.jsonl").write_text(text)
    return folder


def test_a_log_is_read_but_for_a_line_that_was_cut_off(tmp_path):
    whole, cut = read_log(log(tmp_path / "a", 3)), read_log(log(tmp_path / "b", 3, cut='{"event": "epo'))
    assert whole == cut == read_log(tmp_path / "a" / "log.jsonl")
    assert losses_of(whole) == ([1, 2, 3], [2.5, 1.5, pytest.approx(2 / 3 + 0.5)])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"event": "start"}\n', "no finished epoch"),
        ('{"event": "start"}\nnonsense\n{"event": "epoch", "epoch": 1, "lr": 1}\n', "line 2 of .* is no event"),
        ("nonsense\n", "line 1 of .* is no event"),
        ('{"event": "evaluation", "epoch": 1}\n{"event": "start"}\n', "line 1 of .*'mAP'"),
        ("[1]\n[2]\n", "line 1"),
        (b"\xff\xfe\x00", "can't be read as a log"),
    ],
)
def test_a_log_that_is_none_is_refused(text, said, tmp_path):
    (tmp_path / "log.jsonl").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=said):
        read_log(tmp_path)


def test_no_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="is no run folder and no log"):
        read_log(tmp_path)
    with pytest.raises(InputError, match="no runs to draw"):
        draw_logs({}, tmp_path / "x.png")


def test_one_run_shows_its_terms_and_several_their_sums(tmp_path, shares):
    first, second = read_log(log(tmp_path / "a", 4)), read_log(log(tmp_path / "b", 6, 3.0))
    draw_logs({"a": first}, tmp_path / "one.svg")
    assert "Learning rate" in (tmp_path / "one.svg").read_text()
    draw_logs({"a": first, "_<b>$": second, "c": first[:3]}, tmp_path / "two.png")
    assert all(shares(tmp_path / "two.png", colour) > 0.0005 for colour in COLOURS[:2])
    draw_logs({"a": first, "_<b>$": second}, tmp_path / "two.svg")
    assert "&lt;b&gt;$" in (tmp_path / "two.svg").read_text()
