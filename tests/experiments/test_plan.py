"""What rows each experiment has, and what tells one run from another."""

import dataclasses
import shutil

import numpy as np
import pytest

from strongreid.config import Config, bag_of_tricks, plain_baseline, tiny
from strongreid.data.records import ImageRecord
from strongreid.errors import InputError
from strongreid.experiments import paper
from strongreid.experiments.plan import TITLES, TRICKS, Choices, columns_of, rows_of
from strongreid.experiments.records import Column, DataSet
from strongreid.experiments.sets import pictures_fingerprint, read_set
from strongreid.experiments.settings import changed, config_of, training_fingerprint, value_of

PAPER_TABLES = {
    "tricks",
    "leave-one-out",
    "features",
    "cross-domain",
    "batch-size",
    "image-size",
    "backbones",
    "seeds",
}


def test_the_ladder_goes_from_the_plain_baseline_to_the_recipe():
    base = bag_of_tricks()
    rows = rows_of("tricks", base, Choices(rerank=True))
    made = [changed(base, row.overrides) for row in rows]
    assert made[0] == plain_baseline()
    assert made[-1] == made[-2] == base
    for before, after, trick in zip(made, made[1:], TRICKS, strict=False):
        assert value_of(before, trick.setting) == trick.neutral != value_of(after, trick.setting)
        assert changed(before, {trick.setting: value_of(after, trick.setting)}) == after, "nothing else differs"
    assert [row.reference for row in rows] == ["", *[row.name for row in rows[:-1]]]
    assert rows[-1].rerank == "k_reciprocal"


def test_what_is_restored_is_the_configuration_s_own_setting():
    rows = rows_of("tricks", tiny(), Choices())
    assert changed(tiny(), rows[1].overrides).optim.warmup_epochs == 1


@pytest.mark.parametrize("name", sorted(PAPER_TABLES))
def test_every_row_of_the_paper_s_tables_has_its_printed_figures(name):
    rows = {row.name for row in rows_of(name, bag_of_tricks(), Choices(rerank=True))}
    figures = set(paper.TABLES[name][1])
    if name == "leave-one-out":
        assert figures <= rows
        return
    assert figures - rows <= {"ibn_net50_a"}, "timm has no IBN-Net"
    assert rows <= figures
    assert name in TITLES


def test_printed_figures_are_shown_for_the_paper_s_data_sets_only():
    market = DataSet(
        "m", "market1501", "/m", "", "", {"train": 12936, "query": 3368, "gallery": 15913, "identities": 751}
    )
    duke = dataclasses.replace(market, name="d", counts={"train": 16522, "query": 2228, "gallery": 17661})
    other = dataclasses.replace(market, name="o", counts=market.counts | {"train": 12935})
    data = {"m": market, "d": duke, "o": other}
    assert paper.printed("tricks", "center", Column("m", "m", "m"), data) == (94.5, 85.9)
    assert paper.printed("cross-domain", "no-erasing", Column("x", "m", "d"), data) == (41.4, 25.7)
    assert paper.printed("cross-domain", "no-erasing", Column("x", "d", "m"), data) == (54.3, 25.5)
    assert paper.printed("tricks", "center", Column("o", "o", "o"), data) is None, "of the layout, but another set"
    assert paper.printed("tricks", "center", Column("x", "m", "d"), data) is None
    assert paper.printed("tune", "recipe", Column("m", "m", "m"), data) is None


def test_columns_are_each_set_on_itself_and_across():
    names = [column.name for column in columns_of("tricks", ["a", "b"], ["c"])]
    assert names == ["a", "a -> c", "b", "b -> c"]
    assert [c.name for c in columns_of("cross-domain", ["a", "b"], [])] == ["a -> b", "b -> a"]
    assert [c.name for c in columns_of("cross-domain", ["a"], ["c"])] == ["a -> c"]
    with pytest.raises(InputError, match="there is only 'a'"):
        columns_of("cross-domain", ["a"], [])


def test_references_of_chosen_rows():
    sizes = rows_of("image-size", tiny(), Choices(sizes=("64x32", "256X128", "384x128")))
    assert [(row.name, row.reference) for row in sizes] == [
        ("64x32", "256x128"), ("256x128", ""), ("384x128", "256x128"),
    ]  # fmt: skip
    batches = rows_of("batch-size", tiny(), Choices(batches=("8x4", "4x4")))
    assert [row.reference for row in batches] == ["", "8x4"]
    assert batches[0].overrides["loss.center_weight"] == 0, "as in table 5"
    with pytest.raises(InputError, match="8x4 is named twice"):
        rows_of("batch-size", tiny(), Choices(batches=("8x4", "8x4")))
    with pytest.raises(InputError, match="fits one backbone, and there are 9"):
        rows_of("backbones", changed(tiny(), {"model.pretrained": "w.pth"}), Choices())


OTHER = {
    bool: lambda value: not value, int: lambda value: value + 2, float: lambda value: value * 0.5 + 0.1,
    str: lambda value: f"{value}x", tuple: lambda value: (*value, 99), type(None): lambda _: 0.7,
}  # fmt: skip


def test_every_setting_but_the_place_and_the_test_makes_another_run():
    base = tiny()
    first = training_fingerprint(base, "data")
    places = {"data.root", "data.kind", "data.store", "data.on_device", "run.output", "run.device", "run.threads"}
    places |= {"run.timeout", "run.keep_memory"}
    seen = {first}
    for room, values in base.to_dict().items():
        for key, value in values.items():
            name = f"{room}.{key}"
            if name in ("model.start_from", "batch.accumulate"):
                continue
            fingerprint = training_fingerprint(changed(base, {name: OTHER[type(value)](value)}), "data")
            assert (fingerprint == first) == (name in places or room == "eval"), name
            assert fingerprint == first or fingerprint not in seen, name
            seen.add(fingerprint)
    assert training_fingerprint(base, "other data") != first


def test_equal_settings_have_one_fingerprint():
    written = config_of({"augment": {"erasing": 0}, "optim": {"milestones": [40, 70]}})
    assert training_fingerprint(written, "d") == training_fingerprint(
        changed(Config(), {"augment.erasing": 0.0}), "d"
    )


def test_weights_count_by_their_content(tmp_path):
    for name, content in (("one", b"a"), ("moved", b"a"), ("other", b"b")):
        (tmp_path / name).write_bytes(content)
    prints = [
        training_fingerprint(changed(tiny(), {"model.pretrained": str(tmp_path / name)}), "d")
        for name in ("one", "moved", "other")
    ]
    assert prints[0] == prints[1] != prints[2]
    with pytest.raises(InputError, match=r"cannot read the weights .*missing"):
        training_fingerprint(changed(tiny(), {"model.pretrained": str(tmp_path / "missing")}), "d")


def test_a_configuration_comes_back_from_plain_values():
    assert config_of(bag_of_tricks().to_dict()) == bag_of_tricks()
    with pytest.raises(InputError, match=r"no setting 'optim\.speed'"):
        config_of({"optim": {"speed": 1}})


def test_pictures_are_known_by_name_label_and_bytes_and_not_by_place(sets, tmp_path):
    first = read_set("a", "market1501", sets["a"]).about
    assert first.counts == {"train": 24, "query": 6, "gallery": 18, "identities": 6}
    moved = tmp_path / "moved"
    shutil.copytree(sets["a"], moved)
    again = read_set("x", "market1501", moved).about
    assert (again.train_fingerprint, again.test_fingerprint) == (first.train_fingerprint, first.test_fingerprint)
    picture = next((moved / "query").iterdir())
    content = bytearray(picture.read_bytes())
    content[len(content) // 2] ^= 1
    picture.write_bytes(content)
    other = read_set("x", "market1501", moved).about
    assert other.train_fingerprint == first.train_fingerprint
    assert other.test_fingerprint != first.test_fingerprint


def test_labels_and_splits_count(tmp_path):
    file = tmp_path / "1.png"
    file.write_bytes(b"x")
    records = [ImageRecord(file, identity, camera) for identity, camera in ((1, 1), (1, 2), (2, 1))]
    prints = {pictures_fingerprint([record]) for record in records}
    prints |= {pictures_fingerprint(records[:1], records[1:]), pictures_fingerprint(records[:2], records[2:])}
    assert len(prints) == 5
    with pytest.raises(InputError, match="cannot open the picture"):
        pictures_fingerprint([ImageRecord(tmp_path / "2.png", 1, 1)])


def test_the_sets_of_the_tests_are_not_trivial(ladder):
    values = [cell.mAP for row in ladder.rows for cell in row.cells]
    assert 0.2 < np.min(values) < np.max(values) < 1
