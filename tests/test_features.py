import dataclasses
from dataclasses import FrozenInstanceError

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from strongreid.errors import InputError
from strongreid.features import FeatureTable, shard_path


def table(n=5, d=3, model="f00d"):
    features = np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)
    return FeatureTable(features, np.arange(n) - 1, np.arange(n) % 3, tuple(f"ä/{i}.jpg" for i in range(n)), model)


def same(a, b):
    arrays = ("features", "identities", "cameras")
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in arrays) and (
        (a.paths, a.model) == (b.paths, b.model)
    )


def test_converts_what_loses_nothing():
    made = FeatureTable([[1, 2], [3, 4]], [1, -1], np.array([1, 2], dtype=np.uint8), ["a", "b"])
    assert (made.features.dtype, made.identities.dtype, made.cameras.dtype) == (
        np.float32,
        np.int64,
        np.int64,
    )
    assert (len(made), made.dim, made.paths, made.model) == (2, 2, ("a", "b"), "")
    with pytest.raises(FrozenInstanceError):
        made.model = "other"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": np.zeros(5)}, r"shape \(n, d\).*got float64 \(5,\)"),
        ({"features": np.zeros((5, 0))}, r"got float64 \(5, 0\)"),
        ({"features": np.zeros((5, 2), dtype=complex)}, "got complex128"),
        (
            {"features": np.full((5, 2), 1e300)},
            r"5 of 5 features hold NaN or infinity \(rows 0, 1, 2, 3, 4\)",
        ),
        ({"features": [[0.0], [np.nan], [1], [np.inf], [2]]}, r"2 of 5 .* \(rows 1, 3\)"),
        ({"features": np.full((9, 1), np.nan)}, r"9 of 9 .* \(rows 0, 1, 2, 3, 4, ...\)"),
        ({"identities": [1.0, 2, 3, 4, 5]}, r"identities are whole numbers of shape \(n,\), got float64"),
        ({"identities": [True] * 5}, "identities are whole numbers"),
        ({"cameras": ["1"] * 5}, "cameras are whole numbers"),
        ({"cameras": np.zeros((5, 1), dtype=int)}, r"got int64 \(5, 1\)"),
        ({"paths": ("a",)}, "5 features, 5 identities, 5 cameras, 1 paths"),
        ({"identities": [1]}, "5 features, 1 identities, 5 cameras, 5 paths"),
    ],
)
def test_refuses(change, message):
    whole = {"features": np.zeros((5, 2)), "identities": [1] * 5, "cameras": [1] * 5, "paths": ("a",) * 5}
    with pytest.raises(InputError, match=message):
        FeatureTable(**(whole | change))


def test_select_by_mask_and_by_number():
    whole = table()
    assert same(whole.select([True, False, False, True, False]), whole.select([0, 3]))
    assert whole.select(np.array([4, 4, 0])).paths == ("ä/4.jpg", "ä/4.jpg", "ä/0.jpg")
    assert whole.select([1]).model == "f00d"
    assert len(whole.select([])) == 0
    assert whole.select([]).dim == 3
    for rows, message in [
        ([True], r"needs shape \(5,\), got \(1,\)"),
        ([5], "rows 0 to 4, got rows 5 to 5"),
        ([-6], "rows 0 to 4"),
        ([0.5], "got float64"),
        ([[1]], r"\(1, 1\)"),
    ]:
        with pytest.raises(InputError, match=message):
            whole.select(rows)


@pytest.mark.parametrize("rows", [0, 1, 5, 3000])
def test_parquet_round_trip(tmp_path, rows):
    whole = table(rows)
    whole.save(tmp_path / "new" / "table.parquet")
    assert same(FeatureTable.load(tmp_path / "new" / "table.parquet"), whole)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["table.parquet"]
    assert str(pq.read_schema(tmp_path / "new" / "table.parquet").field("feature").type).startswith("fixed_size_list")


def load_or_message(path):
    try:
        return FeatureTable.load(path), ""
    except InputError as error:
        return None, str(error)


def test_any_flipped_byte_is_noticed_or_harmless(tmp_path):
    whole = table(40, 16)
    path = tmp_path / "table.parquet"
    whole.save(path)
    content = path.read_bytes()
    noticed = 0
    for place in range(0, len(content), 97):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :])
        loaded, message = load_or_message(path)
        if loaded is None:
            noticed += 1
            assert str(path) in message
        else:
            np.testing.assert_array_equal(loaded.features, whole.features)
    assert noticed > 10


@pytest.mark.parametrize("keep", [0, 3, 100, -1])
def test_a_cut_file_is_named(tmp_path, keep):
    path = tmp_path / "table.parquet"
    table().save(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(
        InputError, match=r"table\.parquet is damaged or no Parquet file .*extract the features again"
    ):
        FeatureTable.load(path)


def test_a_foreign_file_is_named_with_what_it_lacks(tmp_path):
    path = tmp_path / "table.parquet"
    with pytest.raises(InputError, match=r"no feature table at .*table\.parquet"):
        FeatureTable.load(path)
    pq.write_table(pa.table({"path": ["a"], "feature": [1.0]}), path)
    with pytest.raises(InputError, match=r"table\.parquet .* lacks 'identity', 'camera' and has 'path', 'feature'"):
        FeatureTable.load(path)
    table().save(path)
    good = pq.read_table(path)
    notes = {key.decode(): value.decode() for key, value in good.schema.metadata.items() if key != b"ARROW:schema"}
    for change, message in [
        ({"format": "other"}, "metadata lacks format 'strongreid.features'"),
        ({"version": "9"}, "version 9, this program reads 1"),
    ]:
        pq.write_table(good.replace_schema_metadata(notes | change), path)
        with pytest.raises(InputError, match=message):
            FeatureTable.load(path)
    lists = pa.array(good.column("feature").to_pylist(), type=pa.list_(pa.float64()))
    pq.write_table(good.set_column(0, "feature", lists).replace_schema_metadata(notes), path)
    with pytest.raises(InputError, match="column feature is list<"):
        FeatureTable.load(path)
    holes = pa.array([None, 1, 2, 3, 4], type=pa.int64())
    pq.write_table(good.set_column(1, "identity", holes).replace_schema_metadata(notes), path)
    with pytest.raises(InputError, match="missing values"):
        FeatureTable.load(path)
    words = pa.array(list("abcde"))
    pq.write_table(good.set_column(1, "identity", words).replace_schema_metadata(notes), path)
    with pytest.raises(InputError, match=r"table\.parquet: identities are whole numbers"):
        FeatureTable.load(path)


def test_shards_are_read_as_one_table(tmp_path):
    table = FeatureTable(np.arange(12.0).reshape(6, 2), np.arange(6), np.ones(6, dtype=int), tuple("abcdef"), "m")
    for number, rows in enumerate(([0, 1], [2, 3], [4, 5])):
        table.select(rows).save(shard_path(tmp_path / "t.parquet", number, 3))
    loaded = FeatureTable.load(tmp_path / "t.parquet")
    np.testing.assert_array_equal(loaded.features, table.features)
    assert (loaded.paths, loaded.model, loaded.identities.tolist()) == (table.paths, "m", list(range(6)))
    assert shard_path("x/t.parquet", 1, 3).name == "t.00001-of-00003.parquet"


def test_shards_that_do_not_make_a_table_are_refused(tmp_path):
    table = FeatureTable(np.eye(2), np.arange(2), np.ones(2, dtype=int), ("a", "b"), "m")
    path = tmp_path / "t.parquet"
    table.save(shard_path(path, 0, 2))
    with pytest.raises(InputError, match=r"lacks 1 of 2 shards \(t.00001-of-00002.parquet\)"):
        FeatureTable.load(path)
    dataclasses.replace(table, model="other").save(shard_path(path, 1, 2))
    with pytest.raises(InputError, match=r"different models .'m', 'other'"):
        FeatureTable.load(path)
    table.save(shard_path(path, 0, 3))
    with pytest.raises(InputError, match="shards of 2 and of 3 processes"):
        FeatureTable.load(path)
