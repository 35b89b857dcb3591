"""Reading folders: what is kept, what is counted, and what each refusal says."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongreid.data.readers import _NAME, read_dataset, read_folder, read_pictures
from strongreid.data.records import DISTRACTOR, ImageRecord
from strongreid.errors import InputError

TRAIN, QUERY, GALLERY = "bounding_box_train", "query", "bounding_box_test"
SMALL = {
    TRAIN: ["0002_c1s1_000451_03.jpg", "0002_c2s1_000776_01.jpg", "0007_c1s6_028546_01.jpg"],
    QUERY: ["0001_c1s1_001051_00.jpg"],
    GALLERY: [
        "-1_c1s1_000401_03.jpg",
        "0000_c3s1_000001_01.jpg",
        "0001_c1s1_001051_01.jpg",
        "0001_c2s1_001051_01.jpg",
    ],
}


def make(root: Path, **changes: list[str]) -> Path:
    """Lay out a data set of empty files: the readers never open a picture."""
    for folder, names in {**SMALL, **changes}.items():
        (root / folder).mkdir(parents=True)
        for name in names:
            (root / folder / name).touch()
    return root


def refusal(root: Path, kind: str = "market1501") -> str:
    with pytest.raises(InputError) as caught:
        read_dataset(kind, root)
    assert str(caught.value).count("\n") <= 1
    return str(caught.value)


def test_market_records_junk_and_distractors(tmp_path: Path) -> None:
    dataset = read_dataset("market1501", make(tmp_path))
    assert dataset.name == "market1501"
    assert [(r.path.name, r.identity, r.camera) for r in dataset.train] == [
        ("0002_c1s1_000451_03.jpg", 2, 1),
        ("0002_c2s1_000776_01.jpg", 2, 2),
        ("0007_c1s6_028546_01.jpg", 7, 1),
    ]
    assert dataset.query == (ImageRecord(tmp_path / QUERY / "0001_c1s1_001051_00.jpg", 1, 1),)
    assert [(r.identity, r.camera) for r in dataset.gallery] == [(DISTRACTOR, 3), (1, 1), (1, 2)]
    assert dataset.junk == 1


def test_duke_names_and_string_root(tmp_path: Path) -> None:
    make(
        tmp_path,
        bounding_box_train=["0001_c2_f0046182.jpg"],
        query=["0005_c2_f0046985.jpg"],
        bounding_box_test=["0005_c8_f0046985.jpg"],
    )
    dataset = read_dataset("dukemtmc", str(tmp_path))
    assert dataset.name == "dukemtmc"
    assert [(r.identity, r.camera) for r in dataset.gallery] == [(5, 8)]


def test_parents_that_look_like_names_do_not_matter(tmp_path: Path) -> None:
    plain = read_dataset("market1501", make(tmp_path / "plain"))
    odd = read_dataset("market1501", make(tmp_path / "0009_c9s9" / "-1_c4.jpg"))
    assert [(r.identity, r.camera) for r in plain.train + plain.query + plain.gallery] == [
        (r.identity, r.camera) for r in odd.train + odd.query + odd.gallery
    ]


def test_every_suffix_in_any_case_and_nothing_else(tmp_path: Path) -> None:
    names = ["0002_c1.JPG", "0002_c2.jpeg", "0002_c3.Png", "0002_c4.bmp", "0002_c5.WEBP"]
    ignored = ["Thumbs.db", "readme.txt", ".0002_c1.jpg", "._0002_c1.jpg", "0002_c1.jpg.txt"]
    root = make(tmp_path, bounding_box_train=[*names, *ignored])
    (root / TRAIN / "0003_c1.jpg").mkdir()
    dataset = read_dataset("market1501", root)
    assert [r.path.name for r in dataset.train] == sorted(names)
    assert dataset.junk == 1


def test_junk_in_train_and_query_is_counted(tmp_path: Path) -> None:
    root = make(
        tmp_path,
        bounding_box_train=["0002_c1.jpg", "0000_c1.jpg", "-1_c2.jpg"],
        query=["0001_c1.jpg", "0000_c2.jpg"],
    )
    dataset = read_dataset("market1501", root)
    assert [r.identity for r in dataset.train + dataset.query] == [2, 1]
    assert dataset.junk == 4


@given(
    identity=st.integers(1, 10**18 - 1),
    camera=st.integers(0, 99),
    width=st.integers(1, 6),
    tail=st.sampled_from(["", "s1", "s12_000451_03", "_f0046985", "_00030600_0", "_weiß €"]),
    suffix=st.sampled_from([".jpg", ".JPEG", ".png"]),
)
def test_names_round_trip(identity: int, camera: int, width: int, tail: str, suffix: str) -> None:
    match = _NAME.fullmatch(f"{identity:0{width}d}_c{camera:0{width}d}{tail}{suffix}")
    assert match is not None
    assert (int(match["identity"]), int(match["camera"])) == (identity, camera)


def test_unknown_kind_names_the_nearest(tmp_path: Path) -> None:
    message = refusal(tmp_path, "Market-1501")
    assert "unknown kind of data set 'Market-1501'; valid kinds: market1501, dukemtmc" in message
    assert "Did you mean market1501?" in message


def test_missing_root_file_root_and_empty_root(tmp_path: Path) -> None:
    message = refusal(tmp_path / "no" / "such")
    assert "no such folder" in message
    assert f"the part that exists is {tmp_path}" in message
    (tmp_path / "market.zip").touch()
    assert "is a file; expected a folder (unpack an archive first)" in refusal(tmp_path / "market.zip")
    (tmp_path / "empty").mkdir()
    assert "the folder is empty; expected the folders bounding_box_train, query" in refusal(tmp_path / "empty")


def test_another_layout_says_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "image_train").mkdir()
    (tmp_path / "list.txt").touch()
    message = refusal(tmp_path)
    assert "no folder bounding_box_train, query, bounding_box_test in it (found: image_train/, list.txt)" in message
    assert "Pass the folder that holds bounding_box_train, query, bounding_box_test" in message


def test_the_layout_is_found_below_and_above(tmp_path: Path) -> None:
    root = make(tmp_path / "raw" / "Market-1501-v15.09.15")
    assert f"The layout is in {root}: pass that path" in refusal(tmp_path)
    assert f"The layout is in {root}: pass that path" in refusal(root / TRAIN)


def test_a_missing_split_is_named(tmp_path: Path) -> None:
    root = make(tmp_path)
    (root / QUERY / SMALL[QUERY][0]).unlink()
    (root / QUERY).rmdir()
    assert "no folder query in it (found: bounding_box_test/, bounding_box_train/)" in refusal(root)


def test_an_empty_split_folder(tmp_path: Path) -> None:
    message = refusal(make(tmp_path / "a", query=[]))
    assert "query: no pictures directly in this folder (it is empty)" in message
    assert ".bmp, .jpeg, .jpg, .png, .webp" in message
    root = make(tmp_path / "b", query=["Thumbs.db"])
    (root / QUERY / "0001").mkdir()
    assert "(found only: 0001/, Thumbs.db)" in refusal(root)


def test_a_split_of_junk_only(tmp_path: Path) -> None:
    message = refusal(make(tmp_path / "a", bounding_box_train=["0000_c1.jpg", "-1_c1.jpg"]))
    assert "all 2 pictures are junk (identity -1 or 0000), so the train split is empty" in message
    message = refusal(make(tmp_path / "b", bounding_box_test=["-1_c1.jpg"]))
    assert "all 1 pictures are junk (identity -1), so the gallery split is empty" in message


def test_names_that_do_not_parse(tmp_path: Path) -> None:
    wrong = ["IMG_1.jpg", "a.jpg", "b.jpg", "c.jpg"]
    message = refusal(make(tmp_path, bounding_box_train=["0002_c1.jpg", *wrong]))
    assert "4 of 5 picture names don't parse (IMG_1.jpg, a.jpg, b.jpg and 1 more)" in message
    assert "Expected IDENTITY_cCAMERA at the start, as in 0002_c1s1_000451_03.jpg" in message


@pytest.mark.parametrize(
    ("name", "better"),
    [("0002_451.jpg", "0002_c1_451.jpg"), ("7.png", "7_c1.png"), ("7-a.png", "7_c1_a.png")],
)
def test_names_without_a_camera(tmp_path: Path, name: str, better: str) -> None:
    message = refusal(make(tmp_path, bounding_box_train=["0002_c1.jpg", name]))
    assert f"1 of 2 picture names give an identity but no camera ({name})" in message
    assert f"rename {name} to {better} for camera 1" in message
    assert "If the cameras are unknown, give query pictures c1 and gallery pictures c2." in message


def test_identities_in_training_and_test(tmp_path: Path) -> None:
    message = refusal(make(tmp_path, bounding_box_train=["0001_c1.jpg", "0002_c1.jpg"]))
    assert "1 identity both in training and in query or gallery (1)" in message


def test_queries_without_any_possible_match(tmp_path: Path) -> None:
    message = refusal(make(tmp_path / "a", bounding_box_test=["0001_c1_a.jpg", "0004_c2.jpg"]))
    assert "the gallery shows the query identities only from the same camera" in message
    message = refusal(make(tmp_path / "b", bounding_box_test=["0004_c2.jpg", "0000_c2.jpg"]))
    assert "query and bounding_box_test share no identity" in message


def test_read_folder_keeps_distractors_and_drops_junk(tmp_path: Path) -> None:
    root = make(tmp_path)
    assert read_folder(root / GALLERY) == read_dataset("market1501", root).gallery
    (tmp_path / "junk").mkdir()
    (tmp_path / "junk" / "-1_c1.jpg").touch()
    with pytest.raises(InputError, match="every picture is junk"):
        read_folder(tmp_path / "junk")


def test_read_pictures_takes_any_name_at_any_depth(tmp_path: Path) -> None:
    for name in ["b/2.jpg", "b/1.PNG", "a.webp", ".hidden/3.jpg", "b/.4.jpg", "b/notes.txt"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert read_pictures(str(tmp_path)) == (tmp_path / "a.webp", tmp_path / "b/1.PNG", tmp_path / "b/2.jpg")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no pictures here or below"):
        read_pictures(tmp_path / "empty")
