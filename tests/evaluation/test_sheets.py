import numpy as np
import pytest
from PIL import Image

from strongreid.errors import InputError
from strongreid.evaluation import picture_grid, rank_sheet, sheets
from strongreid.features import FeatureTable

GREEN, RED, BLUE = sheets.RIGHT, sheets.WRONG, sheets.QUERY


@pytest.fixture
def pictures(tmp_path):
    """Six pictures of 32 x 64 in colours that no border has."""
    paths = []
    for number in range(6):
        path = tmp_path / f"{number}.png"
        Image.new("RGB", (32, 64), (40 * number, 90, 130)).save(path)
        paths.append(str(path))
    return paths


def tile_corner(row, place, height=128, width=64, lines=2):
    """The upper left pixel of a rank sheet's tile; place 0 is the query."""
    cell = width + 2 * sheets.BORDER + sheets.GAP
    left = sheets.MARGIN + place * cell + (sheets.QUERY_GAP if place else 0)
    head = sheets.MARGIN + sheets.TITLE_HEIGHT + sheets.LEGEND_HEIGHT
    below = lines * sheets.LINE_HEIGHT + sheets.ROW_GAP
    return left, head + row * (height + 2 * sheets.BORDER + below)


def border_colours(path, row, places):
    with Image.open(path) as sheet:
        return [sheet.getpixel(tile_corner(row, place)) for place in range(places)]


def test_borders_tell_right_from_wrong(pictures, tmp_path):
    query = FeatureTable([[1, 0]], [7], [1], (pictures[0],))
    # Nearest first: the query's own camera (left out), right, wrong, a distractor, right.
    angles = np.deg2rad([1, 5, 10, 20, 30])
    gallery = FeatureTable(
        np.stack([np.cos(angles), np.sin(angles)], axis=1), [7, 7, 8, -1, 7], [1, 2, 1, 1, 3], pictures[1:]
    )
    rank_sheet(query, gallery, tmp_path / "sheet.png", top_k=5)
    assert border_colours(tmp_path / "sheet.png", 0, 6) == [BLUE, GREEN, RED, RED, GREEN, sheets.PAPER]
    with Image.open(tmp_path / "sheet.png") as sheet:
        left, top = tile_corner(0, 1)
        assert sheet.getpixel((left + 36, top + 68)) == (80, 90, 130)  # the picture of gallery row 1


def test_rows_run_from_the_worst_query_to_the_best(pictures, tmp_path):
    # Query i finds its only match at rank 4 - i: the gallery is 4 pictures on a line, the queries at its end.
    gallery = FeatureTable([[4.0], [3.0], [2.0], [1.0]], [0, 1, 2, 3], [2] * 4, pictures[:4])
    query = FeatureTable([[0.0]] * 4, [3, 1, 0, 2], [1] * 4, pictures[:4])
    for seed in (0, 1):  # no two are equally good: nothing is left to chance
        rank_sheet(query, gallery, tmp_path / "s.png", queries=3, top_k=4, metric="euclidean", seed=seed)
        rows = [border_colours(tmp_path / "s.png", row, 5)[1:] for row in range(3)]
        assert rows[0] == [RED, RED, RED, GREEN]
        assert rows[2] == [GREEN, RED, RED, RED]


def test_the_same_seed_draws_the_same_sheet(pictures, tmp_path):
    query = FeatureTable(np.eye(6), np.arange(6), [1] * 6, pictures)
    gallery = FeatureTable(np.eye(6), np.arange(6), [2] * 6, pictures)
    sheet = {}
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        rank_sheet(query, gallery, tmp_path / f"{name}.png", queries=2, top_k=2, seed=seed)
        sheet[name] = (tmp_path / f"{name}.png").read_bytes()
    assert sheet["a"] == sheet["b"] != sheet["c"]


def test_unreadable_pictures_become_grey_tiles(pictures, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    whole = (tmp_path / "0.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    query = FeatureTable([[1, 0]], [7], [1], (pictures[0],))
    paths = (str(broken), str(tmp_path / "cut.png"), str(tmp_path / "none.png"))
    gallery = FeatureTable([[1, 0], [1, 1], [0, 1]], [7, 7, 8], [2, 2, 2], paths)
    rank_sheet(query, gallery, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        for place in (1, 2, 3):
            left, top = tile_corner(0, place)
            assert sheet.getpixel((left + sheets.BORDER, top + sheets.BORDER)) == sheets.MISSING
    assert border_colours(tmp_path / "sheet.png", 0, 4) == [BLUE, GREEN, GREEN, RED]


def test_grid_shows_every_picture_beside_its_label(pictures, tmp_path):
    rows = [("first", pictures[:4]), ("a much longer label", pictures[4:]), ("none", [])]
    picture_grid(rows, tmp_path / "grid.png", title="Six pictures")
    with Image.open(tmp_path / "grid.png") as grid:
        colours = {colour for _, colour in grid.getcolors(maxcolors=1 << 20)}
        assert {(40 * number, 90, 130) for number in range(6)} <= colours
        assert grid.height == 2 * sheets.MARGIN + sheets.TITLE_HEIGHT + 3 * 136 + 2 * sheets.ROW_GAP


def test_wide_pictures_make_wide_tiles(tmp_path):
    Image.new("RGB", (200, 100), (1, 2, 3)).save(tmp_path / "car.jpg")
    picture_grid([("", [tmp_path / "car.jpg"])], tmp_path / "grid.png", height=50)
    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.width == 2 * sheets.MARGIN + 100 + 2 * sheets.BORDER


def test_refuses(pictures, tmp_path):
    query = FeatureTable([[1.0]], [1], [1], pictures[:1])
    with pytest.raises(InputError, match="no query has a true match"):
        rank_sheet(query, query, tmp_path / "sheet.png")
    with pytest.raises(InputError, match="top_k of at least 1, got 0"):
        rank_sheet(query, query, tmp_path / "sheet.png", top_k=0)
    with pytest.raises(InputError, match="rows of at least 1, got 0"):
        picture_grid([], tmp_path / "grid.png")
    with pytest.raises(InputError, match="cannot write"):
        picture_grid([("", [])], tmp_path)  # a folder stands there
