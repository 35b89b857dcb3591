"""The report page: self-contained, escaped, and with the same figures as the tables."""

import base64
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from tests.evaluation.made import made_answers
from tests.experiments.made import DUKE, MARKET, made_experiment

from strongreid.config import bag_of_tricks
from strongreid.errors import InputError
from strongreid.evaluation import EvalResult, answer_sheet
from strongreid.evaluation.sheets import GAP, MARGIN, QUERY, RIGHT, WRONG
from strongreid.experiments.figures.rows import draw_row_curves, draw_rows, scores_of
from strongreid.experiments.page import verdict, write_page
from strongreid.experiments.tables import tables_of

VALUES = {
    "baseline": {"a": [0.50, 0.52, 0.54]},
    "warm-up": {"a": [0.60, 0.62, 0.65]},
    "same": {"a": [0.6, 0.63, 0.64]},
}
REFERENCES = {"warm-up": "baseline", "same": "warm-up"}
HOSTILE = "</title><script>alert('x')</script><img src=http://evil.example/a onerror=\"b\">{{ 7*7 }} & \\textbf{$_^"


class Reader(HTMLParser):
    """Tags with their attributes, the cells of tables and all text, as a browser would have them."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.cells, self.text, self.open = [], [], "", []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data
        if self.open and {"td", "th"} & set(self.open):
            self.cells[-1] += data


@pytest.fixture
def experiment(tmp_path):
    return made_experiment(tmp_path / "exp", VALUES, references=REFERENCES)


def test_the_page_has_every_cell_of_every_table(experiment, tmp_path):
    write_page([experiment], tmp_path / "page.html")
    page = Reader(tmp_path / "page.html")
    (table,) = tables_of(experiment)
    count = len(table.head) + sum(map(len, table.rows))
    assert page.cells[:count] == [*table.head, *(cell for row in table.rows for cell in row)]
    assert table.title in page.text
    assert all(note in page.text for note in table.notes)
    for said in (experiment.command, experiment.hardware, "train-a", "test-a", "9 of 9 cells", "9 trainings"):
        assert said in page.text


def test_significant_differences_are_said_and_others_too(experiment, tmp_path):
    write_page([experiment], tmp_path / "page.html")
    lines = [verdict(experiment, found) for found in experiment.differences("mAP", "a")]
    assert lines[0].startswith("+ warm-up against + baseline: +10.33 mAP (")
    assert lines[0].endswith(": significant")
    assert lines[1].endswith(": not significant")
    items = re.findall(r"<li( class=\"yes\")?>([^<]*)", (tmp_path / "page.html").read_text())
    assert [(bool(yes), text) for yes, text in items] == [(True, lines[0]), (False, lines[1])]


def test_the_page_asks_no_host_for_anything_and_runs_nothing(experiment, tmp_path):
    write_page([experiment, experiment], tmp_path / "page.html")
    page = Reader(tmp_path / "page.html")
    assert {tag for tag, _ in page.tags}.isdisjoint(
        {"script", "link", "iframe", "object", "base", "form", "style-src"}
    )
    assert sum(tag == "style" for tag, _ in page.tags) == 1
    for _, attributes in page.tags:
        assert attributes.get("src", "data:image/").startswith("data:image/")
        assert attributes.get("href", "#").startswith("#")
        assert not any(name.startswith("on") for name in attributes)
    text = (tmp_path / "page.html").read_text()
    assert not re.search(r"url\(|@import|https?://", text), "outside of pictures, which are base64"
    assert "default-src 'none'" in text
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert images
    assert all(image["alt"] for image in images)
    for image in images:
        kind, content = re.fullmatch(r"data:image/([a-z+]+);base64,(.*)", image["src"]).groups()
        if kind == "svg+xml":
            assert b"<script" not in base64.b64decode(content)


def test_the_title_is_said_once_and_what_is_wide_can_be_scrolled(experiment, tmp_path):
    write_page([experiment], tmp_path / "one.html")
    write_page([experiment, experiment], tmp_path / "two.html")
    for name, headings in (("one", ["h1"]), ("two", ["h1", "h2", "h2"])):
        page = Reader(tmp_path / f"{name}.html")
        assert [tag for tag, _ in page.tags if tag in ("h1", "h2")] == headings
        for (before, attributes), (tag, _) in zip(page.tags, page.tags[1:], strict=False):
            if tag in ("table", "img"):
                assert before == "div", "a phone would shrink it to nothing, or the whole page would scroll"
                assert attributes.get("class", "") == ("wide" if tag == "table" else "")


def test_the_same_experiment_gives_the_same_bytes(experiment, tmp_path):
    for name in ("a", "b"):
        write_page([experiment], tmp_path / f"{name}.html")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_nothing_that_is_named_can_break_out_of_the_text(experiment, tmp_path):
    rows = tuple(replace(row, plan=replace(row.plan, label=HOSTILE + row.name)) for row in experiment.rows)
    data = {name: replace(dataset, name=HOSTILE, kind=HOSTILE) for name, dataset in experiment.data.items()}
    hostile = replace(
        experiment, rows=rows, data=data, command=HOSTILE, hardware=HOSTILE, name=HOSTILE,
        versions={HOSTILE: HOSTILE}, failed={HOSTILE: HOSTILE}, settings={HOSTILE: HOSTILE},
    )  # fmt: skip
    write_page([hostile], tmp_path / "page.html")
    page = Reader(tmp_path / "page.html")
    assert {tag for tag, _ in page.tags}.isdisjoint({"script"})
    assert all(attributes["src"].startswith("data:") for tag, attributes in page.tags if tag == "img")
    assert page.text.count(HOSTILE) >= 10, "shown as it is"
    assert "49" not in page.text.split("How to make it again")[1].split("seeds")[0].replace("{{ 7*7 }}", "")


def test_what_is_missing_and_what_failed_is_said(tmp_path):
    found = made_experiment(tmp_path / "exp", {"baseline": {"a": [0.5, None]}, "warm-up": {"a": [None, None]}})
    write_page([replace(found, failed={"f00": "no memory"})], tmp_path / "page.html")
    text = Reader(tmp_path / "page.html").text
    assert "1 of 4 cells" in " ".join(text.split())
    assert "3 cells are missing" in text
    assert "Run f00 failed: no memory" in text
    nothing = made_experiment(tmp_path / "none", {"baseline": {"a": [None]}})
    write_page([nothing], tmp_path / "none.html")
    assert not [tag for tag, _ in Reader(tmp_path / "none.html").tags if tag == "img"]
    with pytest.raises(InputError, match="no cell of a is finished"):
        draw_rows(nothing, nothing.columns[0], tmp_path / "rows.png")


def test_the_paper_is_beside_its_own_data_sets_only(tmp_path):
    values = {"center": {"m": [0.86, 0.86], "m -> d": [0.15, 0.16]}}
    counts = {"m": MARKET, "d": DUKE}
    found = made_experiment(tmp_path / "exp", values, columns=("m", "m -> d"), counts=counts, config=bag_of_tricks())
    write_page([found], tmp_path / "page.html")
    page = Reader(tmp_path / "page.html")
    assert page.cells.count("paper") == 2
    assert "85.9" in page.cells
    assert "(the paper's market, by its counts)" in " ".join(page.text.split())
    for column, expected in zip(found.columns, (True, False), strict=True):
        draw_rows(found, column, tmp_path / "rows.svg")
        assert ("as the paper printed it" in (tmp_path / "rows.svg").read_text()) is expected


@pytest.fixture
def answered(experiment, tmp_path):
    """`experiment` with answers to the queries of its best cell, and pictures to them."""
    for number in range(3):
        Image.new("RGB", (16, 32), (90 * number, 120, 200)).save(tmp_path / f"{number}.png")
    cell = experiment.row("warm-up").of("a")[0]
    result = EvalResult.load(cell.path)
    right = [[row % 2 == 0, False] for row in range(result.queries)]
    pictures = [str(tmp_path / "1.png"), str(tmp_path / "2.png")]
    ranking = replace(result.per_query, paths=(str(tmp_path / "0.png"),) * result.queries)
    replace(result, per_query=ranking, answers=made_answers(pictures, right)).save(cell.path)
    return experiment, cell.path


def test_the_best_row_s_ranked_pictures_are_inside_unless_they_are_to_stay_out(answered, tmp_path):
    experiment, _ = answered
    for sheets in (True, False):
        write_page([experiment], tmp_path / "page.html", sheets=sheets)
        found = (tmp_path / "page.html").read_text()
        assert ("data:image/jpeg" in found) is sheets
        assert ("Ranked pictures of “+ warm-up” on a, seed 0" in found) is sheets


def test_a_sheet_of_saved_answers(answered, tmp_path):
    result = EvalResult.load(answered[1])
    answer_sheet(result, tmp_path / "sheet.png", queries=2, height=64)
    with Image.open(tmp_path / "sheet.png") as sheet:
        colours = {colour for _, colour in sheet.convert("RGB").getcolors(1 << 20)}
        assert {QUERY, RIGHT, WRONG, (0, 120, 200), (90, 120, 200), (180, 120, 200)} <= colours
        assert sheet.width > 2 * MARGIN + 3 * (32 + GAP)
    with pytest.raises(InputError, match="without keeping its answers"):
        answer_sheet(replace(result, answers=None), tmp_path / "x.png")
    with pytest.raises(InputError, match="queries of at least 1, got 0"):
        answer_sheet(result, tmp_path / "x.png", queries=0)


def write_log(run, *scores):
    events = [
        {"event": "epoch", "epoch": epoch, "lr": 1, "identity": 3.0 - epoch} for epoch in range(1, len(scores) + 1)
    ]
    events += [{"event": "evaluation", "epoch": epoch, "mAP": score} for epoch, score in enumerate(scores, start=1)]
    (run / "log.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))


def test_curves_are_of_all_seeds_and_each_run_once(experiment, tmp_path):
    assert not draw_row_curves(experiment, "a", tmp_path / "curves.svg"), "there are no logs"
    for row in experiment.rows[:2]:
        for number, cell in enumerate(row.cells):
            write_log(cell.run, 0.1, 0.2 + 0.01 * number)
    assert scores_of(experiment.rows[0].cells[0].log()) == ([1, 2], [10, 20])
    twice = replace(
        experiment,
        rows=(*experiment.rows, replace(experiment.rows[0], plan=replace(experiment.rows[0].plan, label="again"))),
    )
    assert draw_row_curves(twice, "a", tmp_path / "curves.svg")
    text = (tmp_path / "curves.svg").read_text()
    assert "+ baseline" in text
    assert "+ warm-up" in text
    assert "again" not in text
    assert "+ same" not in text, "it has no logs"
    write_page([experiment], tmp_path / "page.html")
    assert "Over the epochs" in (tmp_path / "page.html").read_text()


def test_the_rows_figure_shows_mean_interval_and_seeds(experiment, tmp_path):
    draw_rows(experiment, experiment.columns[0], tmp_path / "rows.png")
    with Image.open(tmp_path / "rows.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3).astype(int)
    for colour in ("#0072B2", "#8A8F94"):
        wanted = np.array(list(bytes.fromhex(colour[1:])))
        assert (np.abs(pixels - wanted).max(axis=1) < 4).sum() > 20
