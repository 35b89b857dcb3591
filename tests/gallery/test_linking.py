"""Tracks put together into people: against merging one by one, and what may never be together."""

import csv
import io
import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gallery.people import MODEL, calibration, people, unit

from strongreid.errors import InputError
from strongreid.features import FeatureTable
from strongreid.gallery import Gallery, agglomeration
from strongreid.gallery.agglomeration import agglomerate
from strongreid.gallery.linking import link, tracks_in, tracks_of, write_links


def one_by_one(features, threshold, forbidden):
    """Merge the nearest allowed pair of clusters until none is near enough, by the definition."""
    distances = 1 - features @ features.T
    clusters = [{row} for row in range(len(features))]
    while True:
        best = None
        for a, b in itertools.combinations(clusters, 2):
            if forbidden[np.ix_(list(a), list(b))].any():
                continue
            apart = distances[np.ix_(list(a), list(b))].mean()
            if apart <= threshold and (best is None or apart < best[0]):
                best = (apart, a, b)
        if best is None:
            return {frozenset(cluster) for cluster in clusters}
        clusters = [cluster for cluster in clusters if cluster not in best[1:]] + [best[1] | best[2]]


def groups_of(numbers):
    return {frozenset(np.flatnonzero(numbers == number).tolist()) for number in np.unique(numbers)}


@settings(max_examples=120, deadline=None)
@given(
    count=st.integers(1, 18),
    dim=st.sampled_from([2, 3, 8]),
    seed=st.integers(0, 10**6),
    share=st.sampled_from([0.0, 0.1, 0.4, 0.8]),
    threshold=st.sampled_from([0.0, 0.05, 0.3, 0.7, 1.1, 2.0]),
    block=st.sampled_from([1, 300, 64_000_000]),
)
def test_the_clusters_are_those_of_merging_one_by_one(count, dim, seed, share, threshold, block):
    draw = np.random.default_rng(seed)
    features = unit(draw.normal(size=(count, dim)) + 2 * draw.normal(size=(3, dim))[draw.integers(0, 3, count)])
    barred = np.triu(draw.random((count, count)) < share, k=1)
    barred |= barred.T
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(agglomeration, "BLOCK_BYTES", block)
        found = agglomerate(features, threshold, lambda rows: barred[rows])
    assert groups_of(found) == one_by_one(features, threshold, barred)
    first = [np.flatnonzero(found == number)[0] for number in range(found.max() + 1)]
    assert first == sorted(first), "numbered in the order of the first items"


@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 14), seed=st.integers(0, 10**6), threshold=st.sampled_from([0.0, 0.4, 1.2]))
def test_equal_features_end_in_some_clustering_that_is_allowed(count, seed, threshold):
    draw = np.random.default_rng(seed)
    features = np.eye(3)[draw.integers(0, 3, count)]
    barred = np.triu(draw.random((count, count)) < 0.3, k=1)
    barred |= barred.T
    found = agglomerate(features, threshold, lambda rows: barred[rows])
    clusters = [sorted(cluster) for cluster in groups_of(found)]
    for own in clusters:
        assert not barred[np.ix_(own, own)].any()
        assert (1 - features[own] @ features[own].T).mean() <= threshold * len(own) / max(1, len(own) - 1) + 1e-9
    for a, b in itertools.combinations(clusters, 2):
        apart = (1 - features[a] @ features[b].T).mean()
        assert barred[np.ix_(a, b)].any() or apart > threshold, "nothing that could be merged is left"


def made(count=12, cameras=3, per_track=3, seed=0, noise=0.3):
    """Every person before every camera once, at times that never overlap; a row each for the pictures."""
    draw = np.random.default_rng(seed)
    centres = draw.normal(size=(count, 16))
    rows = list(itertools.product(range(cameras), range(count), range(per_track)))
    features = np.array([centres[who] + noise * draw.normal(size=16) for _, who, _ in rows])
    table = FeatureTable(
        features,
        np.array([who for _, who, _ in rows]),
        np.array([camera for camera, _, _ in rows]),
        [f"{row}.jpg" for row in range(len(rows))],
        MODEL,
    )
    times = [1000.0 * camera + 10 * who + moment for camera, who, moment in rows]
    return table, times, [f"c{camera}-{who}" for camera, who, _ in rows]


def test_people_apart_are_found_again_across_cameras():
    table, times, names = made()
    tracks = tracks_of(table, times=times, tracks=names)
    assert len(tracks) == 36
    assert tracks.counts.tolist() == [3] * 36
    assert (tracks.starts[0], tracks.ends[0]) == (0.0, 2.0)
    first = unit(unit(table.features[:3]).mean(axis=0))[0]
    np.testing.assert_allclose(tracks.features[0], first, atol=1e-6)
    links = link(tracks, 0.3)
    found = links.scores()
    assert (found.idf1, found.v_measure, found.people, found.items) == (1.0, 1.0, 12, 36)
    assert links.people[:12].tolist() == list(range(1, 13)), "numbered from 1, in the order of the first tracks"
    assert links.of_rows().tolist() == (table.identities + 1).tolist()
    assert "36 tracks, 12 people, 12 of them of several tracks, 12 by several cameras" in links.table()
    rows = list(csv.DictReader(io.StringIO(links.csv())))
    assert [row["person"] for row in rows] == sorted((row["person"] for row in rows), key=int)
    assert rows[1] == {
        "person": "1", "camera": "1", "track": "c1-0", "start": "1000.000000", "end": "1002.000000",
        "pictures": "3", "path": "36.jpg",
    }  # fmt: skip


def test_two_tracks_of_one_camera_at_one_moment_are_two_people():
    table = FeatureTable(np.ones((4, 5)), np.full(4, -1), [1, 1, 1, 2], list("abcd"), MODEL)
    spans = {"a": (0, 10), "b": (10, 20), "c": (21, 30), "d": (5, 9)}
    rows, times, names = [], [], []
    for row, (name, span) in enumerate(spans.items()):
        for moment in span:
            rows.append(row)
            times.append(float(moment))
            names.append(name)
    tracks = tracks_of(table.select(rows), times=times, tracks=names)
    found = link(tracks, 0.1).people
    a, b, c, d = found.tolist()
    assert a != b, "both are there at second 10"
    assert c in (a, b)
    assert d in (a, b), "views of other cameras may overlap"
    parted = link(tracks, 0.1, least_travel=13.0).people.tolist()
    assert parted[3] not in parted[:3], "12 seconds from d to c are too few, and a and b are nearer"
    near = link(tracks, 0.1, least_travel=12.0).people.tolist()
    assert near[3] not in near[:2]
    free = link(tracks, 0.1, least_travel={(1, 7): 100.0}).people.tolist()
    assert free == found.tolist(), "no camera 7 here"
    by_pair = link(tracks, 0.1, least_travel={(2, 1): 13.0}).people.tolist()
    assert by_pair == parted


def test_tracks_of_unknown_times_are_linked_freely():
    table = FeatureTable(np.ones((3, 5)), np.full(3, -1), [1, 1, 2], list("abc"), MODEL)
    assert link(tracks_of(table), 0.1, least_travel=5.0).people.tolist() == [1, 1, 1]


@pytest.mark.parametrize("as_one", [False, True])
def test_a_gallery_is_linked_and_keeps_who_it_is(tmp_path, as_one):
    table, times, names = made(count=5)
    nobody = FeatureTable(table.features, np.full(len(table), -1), table.cameras, table.paths, MODEL)
    where = tmp_path / "g"
    with Gallery(where, calibration=calibration(threshold=0.3)) as gallery:
        gallery.add(nobody, times=times, tracks=names, labels={"site": ["a"] * len(table)}, track_as_one=as_one)
        count = len(gallery)
        tracks = tracks_in(gallery)
        plain = tracks_of(nobody, times=times, tracks=names)
        np.testing.assert_allclose(tracks.features, plain.features, atol=1e-6)
        np.testing.assert_array_equal(tracks.starts, plain.starts)
        np.testing.assert_array_equal(tracks.ends, plain.ends)
        links = link(tracks, 0.3)
        assert links.people.tolist() == link(plain, 0.3).people.tolist()
        assert write_links(gallery, links, "person") == count
        match = gallery.search(table.features[0], top_k=1)[0]
        assert match.labels == {"site": "a", "person": 1}
        assert (match.time, match.track) == (0.0, "c0-0")
        assert gallery.count(labels={"person": 2}) == count // 5
    with Gallery(where) as gallery:
        gallery.compact()
        assert gallery.count(labels={"person": 5}) == count // 5, "it is on the disk, in the parts"
        np.testing.assert_array_equal(tracks_in(gallery).ends, plain.ends)
        write_links(gallery, links, "identity")
        assert gallery.search(table.features[0], top_k=1)[0].identity == 1
        with pytest.raises(InputError, match="would be overwritten"):
            write_links(gallery, link(tracks_in(gallery), 0.3), "identity")
        with pytest.raises(InputError, match="label site is text"):
            write_links(gallery, links, "site")
        with pytest.raises(InputError, match="a label's name"):
            write_links(gallery, links, "time")
        new = gallery.add(people(count=1, per_person=1), tracks=["late"])
        write_links(gallery, links, "person")
        assert gallery.features(new).shape == (1, 16), "what came later stays, without a person"
        assert gallery.count(labels={"person": [1, 2, 3, 4, 5]}) == count
        assert [line["what"] for line in gallery.audit()][-1] == "link"


def test_a_gallery_on_a_server_is_linked_and_not_written(memory):
    table, times, names = made(count=4)
    with Gallery("http://localhost:6333", client=memory()) as gallery:
        gallery.add(table, ids=range(len(table)), times=times, tracks=names)
        links = link(tracks_in(gallery), 0.3)
        assert links.scores().idf1 == 1.0
        with pytest.raises(InputError, match="on a server"):
            write_links(gallery, links, "person")


def test_the_index_is_rewritten_whole_or_not_at_all(tmp_path, monkeypatch):
    """A kill before the rename of gallery.json leaves everything as it was."""
    table, times, names = made(count=3)
    gallery = Gallery(tmp_path / "g")
    gallery.add(table, times=times, tracks=names)
    links = link(tracks_in(gallery), 0.3)
    monkeypatch.setattr(type(gallery._store), "describe", lambda *_: (_ for _ in ()).throw(OSError("killed")))
    with pytest.raises(OSError, match="killed"):
        write_links(gallery, links, "person")
    monkeypatch.undo()
    gallery._store._lock.release()
    with Gallery(tmp_path / "g") as again:
        assert len(again) == len(table)
        assert again.info().description.labels == {}
        assert again.search(table.features[0], top_k=1)[0].identity == 0


def test_the_verb_links_tables_and_galleries(tmp_path, capsys):
    from strongreid.cli import main

    table, times, names = made(count=4)
    nobody = FeatureTable(table.features, np.full(len(table), -1), table.cameras, table.paths, MODEL)
    nobody.save(tmp_path / "t.parquet")
    notes = tmp_path / "notes.csv"
    lines = [
        f"{path},{camera + 1},{time},{track}"
        for path, camera, time, track in zip(table.paths, table.cameras, times, names, strict=True)
    ]
    notes.write_text("\n".join(["path,camera,time,track", *lines]) + "\n")
    output = tmp_path / "links.csv"
    run = ["gallery", "link", str(tmp_path / "t.parquet"), "--output", str(output), "--notes", str(notes)]
    assert main([*run, "--distance", "0.3"]) == 0
    assert "12 tracks, 4 people" in capsys.readouterr().out
    rows = list(csv.DictReader(output.read_text().splitlines()))
    assert [row["camera"] for row in rows] == ["1", "2", "3"] * 4, "cameras of the notes"
    assert main(run) == 2
    assert "no calibration" in capsys.readouterr().err
    assert main([*run, "--distance", "0.3", "--write", "person"]) == 2
    assert "feature table stays as it is" in capsys.readouterr().err

    where = tmp_path / "g"
    with Gallery(where, calibration=calibration(threshold=0.3)) as gallery:
        gallery.add(nobody, times=times, tracks=names)
    assert main(["gallery", "link", str(where), "--output", str(output), "--write", "identity"]) == 0
    out = capsys.readouterr().out
    assert "linked up to a distance of 0.3000" in out
    assert main(["gallery", "search", str(where), "--entry", "0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["matches"][0]["identity"] == 1


@pytest.mark.parametrize(
    ("threshold", "options", "message"),
    [
        (2.5, {}, "from 0 to 2"),
        (0.3, {"least_travel": -1.0}, "seconds from 0"),
        (0.3, {"least_travel": {(1, 2): float("inf")}}, "seconds from 0"),
        (0.3, {"most": 2}, "more than the 2"),
    ],
)
def test_what_cannot_be_linked_is_refused(threshold, options, message):
    table, times, names = made(count=2)
    with pytest.raises(InputError, match=message):
        link(tracks_of(table, times=times, tracks=names), threshold, **options)


def test_a_track_of_two_people_is_refused():
    table, times, _ = made(count=2, cameras=1)
    with pytest.raises(InputError, match="identities 0 and 1"):
        tracks_of(table, times=times, tracks=["one"] * len(table))
