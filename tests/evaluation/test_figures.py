from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from strongreid.errors import InputError
from strongreid.evaluation import draw_cmc, draw_distances, draw_result, draw_roc, evaluate, rank_sheet
from strongreid.evaluation.figures import DIFFERENT, SAME
from strongreid.evaluation.style import COLOURS, drawing, label


@pytest.fixture(scope="module")
def result(tables):
    return evaluate(*tables, pairs=True)


def shades(path):
    """The colours of a picture as a set of RGB triples."""
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return set(map(tuple, np.asarray(picture.convert("RGB")).reshape(-1, 3).tolist()))


def rgb(colour):
    return tuple(bytes.fromhex(colour[1:]))


def test_pairs_of_a_result_survive_saving(result, tmp_path):
    result.save(tmp_path / "result.json")
    loaded = type(result).load(tmp_path / "result.json")
    for name in ("same", "different"):
        np.testing.assert_array_equal(getattr(loaded.pairs, name), getattr(result.pairs, name))
    assert evaluate_without_pairs_saves_none(result, tmp_path) is None


def evaluate_without_pairs_saves_none(result, folder):
    replace(result, pairs=None).save(folder / "plain.json")
    return type(result).load(folder / "plain.json").pairs


def test_every_named_result_is_a_line_of_its_own(result, tmp_path):
    draw_cmc({"one": result}, tmp_path / "one.png")
    draw_cmc({"one": result, "two": result}, tmp_path / "two.png")
    first, second = rgb(COLOURS[0]), rgb(COLOURS[1])
    assert first in shades(tmp_path / "one.png")
    assert second not in shades(tmp_path / "one.png")
    assert second in shades(tmp_path / "two.png")


def test_both_kinds_of_pairs_are_drawn(result, tmp_path):
    draw_distances(result.pairs, tmp_path / "all.png")
    draw_distances(replace(result.pairs, same=result.pairs.same * 0), tmp_path / "different.png")
    blends = [tuple(round(0.45 * part + 0.55 * 255) for part in rgb(colour)) for colour in (SAME, DIFFERENT)]

    def has(path, colour):
        return any(max(abs(a - b) for a, b in zip(shade, colour, strict=True)) <= 2 for shade in shades(path))

    assert [has(tmp_path / "all.png", blend) for blend in blends] == [True, True]
    draw_roc({"run": result.pairs}, tmp_path / "roc.png")
    assert rgb(COLOURS[0]) in shades(tmp_path / "roc.png")


def test_all_of_a_result_in_one_folder(result, tables, tmp_path):
    drawn = draw_result(result, *tables, tmp_path / "with")
    assert sorted(path.name for path in drawn) == ["best.png", "cmc.png", "distances.png", "roc.png", "worst.png"]
    assert all(shades(path) for path in drawn)
    drawn = draw_result(replace(result, pairs=None), *tables, tmp_path / "without")
    assert sorted(path.name for path in drawn) == ["best.png", "cmc.png", "worst.png"]
    worst, best = ((tmp_path / "with" / name).read_bytes() for name in ("worst.png", "best.png"))
    assert worst != best


def test_refuses_nothing_to_draw(result, tables, tmp_path):
    for draw in (draw_cmc, draw_roc):
        with pytest.raises(InputError, match="nothing to draw"):
            draw({}, tmp_path / "none.png")
    with pytest.raises(InputError, match="at least 2 bins, got 1"):
        draw_distances(result.pairs, tmp_path / "none.png", bins=1)
    with pytest.raises(InputError, match="unknown choice of queries 'middle'; allowed: spread, worst, best"):
        rank_sheet(*tables, tmp_path / "none.png", which="middle")
    assert not list(tmp_path.iterdir())


HOSTILE = "_a$\\frac{$ <script>alert(1)</script>\n\x00" + "long " * 40


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_a_figure_is_the_same_bytes_again_whatever_it_says(kind, result, tmp_path):
    for name in ("one", "two"):
        draw_cmc({HOSTILE: result}, tmp_path / f"{name}.{kind}")
    first = (tmp_path / f"one.{kind}").read_bytes()
    assert first == (tmp_path / f"two.{kind}").read_bytes()
    assert b"<script" not in first


def test_a_label_is_one_line_that_a_legend_shows():
    assert label("a\n\tb\x00c") == "a b c"
    assert label("_hidden") == " _hidden"
    assert label("x" * 61) == "x" * 59 + "…"
    assert label("x" * 60) == "x" * 60


@pytest.mark.parametrize(("name", "said"), [("plot.jpg", "'jpg'"), ("plot", "'nothing'")])
def test_refuses_other_formats_before_anything_is_drawn(name, said, tmp_path):
    with pytest.raises(InputError, match=f"ends with {said}; name a file that ends with .png, .svg, .pdf"):  # noqa: SIM117
        with drawing(tmp_path / name):
            pytest.fail("nothing is drawn")
