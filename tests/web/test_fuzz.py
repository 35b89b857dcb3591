"""A few hundred broken uploads; `benchmarks/fuzz_uploads.py` sends ten thousand."""

from benchmarks.fuzz_uploads import fuzz, peak_mb, watched


def test_broken_uploads_get_a_sentence_and_touch_nothing(serve, gallery, tmp_path):
    keep = tmp_path / "kept"
    client = serve(keep=keep)
    fuzz(client, 10, seed=5)
    before = peak_mb()
    with watched(tmp_path) as seen:
        counts = fuzz(client, 300, seed=1)
    assert seen == []
    assert sum(counts.values()) == 300
    assert {name.split()[1][0] for name in counts} == {"2", "4"}, "some are good, most are not"
    assert peak_mb() - before < 300
    kept = list(keep.iterdir())
    assert len(gallery) == 32 + len(kept)
    assert all(path.suffix == ".png" for path in kept)
