"""Tables in three forms, and reports of several folders."""

import re

import pytest
from tests.experiments.made import DUKE, MARKET, made_experiment

from strongreid.cli import main
from strongreid.config import bag_of_tricks
from strongreid.errors import InputError
from strongreid.experiments.report import join_experiments, load_experiments
from strongreid.experiments.tables import tables_of

REFERENCES = {"warm-up": "baseline"}
VALUES = {"baseline": {"a": [0.50, 0.52, 0.54]}, "warm-up": {"a": [0.60, 0.62, 0.65]}}


def cells_of(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_table_has_mean_deviation_interval_and_difference(tmp_path):
    (table,) = tables_of(made_experiment(tmp_path, VALUES, references=REFERENCES))
    assert table.head == (
        "", "seeds", "mAP", "95 % interval", "difference", "p", "Rank-1", "95 % interval", "difference", "p",
    )  # fmt: skip
    baseline, warm = table.rows
    assert baseline[:6] == ("+ baseline", "3", "52.00 ± 2.00", "[47.03, 56.97]", "", "")
    assert warm[2] == "62.33 ± 2.52"
    assert warm[4] == "+10.33*"
    assert float(warm[5]) < 0.05
    assert table.title == "The six tricks, added one at a time: trained and tested on a"
    assert not any("paper" in note for note in table.notes)


def test_markdown_has_the_same_cells(tmp_path):
    (table,) = tables_of(made_experiment(tmp_path, VALUES, references=REFERENCES))
    lines = [line for line in table.markdown().splitlines() if line.startswith("|")]
    assert cells_of(lines[0]) == list(table.head)
    assert lines[1] == "|---" + "|---:" * 9 + "|"
    assert [tuple(cells_of(line)) for line in lines[2:]] == list(table.rows)


def test_latex_has_them_too_with_special_characters_escaped(tmp_path):
    values = {"f_t, 50 % & more": {"a": [0.5, 0.6]}, "other": {"a": [0.4, 0.5]}}
    (table,) = tables_of(made_experiment(tmp_path, values, references={"other": "f_t, 50 % & more"}))
    text = table.latex()
    assert r"+ f\_t, 50 \% \& more & 2 & 55.00 $\pm$ 7.07 & [$-$8.53, 118.53]" in text
    assert r"$-$10.00" in text
    assert r"Rank-1" in text
    assert not re.search(r"(?<!\\)[%&_#](?![^\\]*\\\\)", text.split(r"\caption{")[1].split("}\n")[0])
    assert text.count(r"\begin{") == text.count(r"\end{") == 2
    body = [line for line in text.splitlines() if line.strip().startswith("+")]
    assert all(len(re.findall(r"(?<!\\)&", line)) == len(table.head) - 1 for line in body)


def test_the_paper_s_column_is_there_on_its_own_data_sets_only(tmp_path):
    values = {"center": {"m": [0.86, 0.86], "m -> d": [0.15, 0.16]}}
    counts = {"m": MARKET, "d": DUKE}
    found = made_experiment(tmp_path, values, columns=("m", "m -> d"), counts=counts, config=bag_of_tricks())
    own, across = tables_of(found)
    assert own.head.count("paper") == 2
    assert own.rows[0][4] == "85.9"
    assert own.rows[0][-1] == "94.5"
    assert "paper: as printed in Table 1." in own.notes
    assert "paper" not in across.head


def test_a_table_says_what_is_missing_and_what_a_single_seed_is_worth(tmp_path):
    values = {"baseline": {"a": [0.5, None]}, "warm-up": {"a": [None, None]}}
    (table,) = tables_of(made_experiment(tmp_path, values, references=REFERENCES))
    assert table.rows[1][1:4] == ("0", "-", "-")
    assert "3 cells are not finished." in table.notes
    assert any("bootstrap over people" in note for note in table.notes)


def test_parts_of_an_experiment_are_joined(tmp_path):
    first = made_experiment(tmp_path / "1", {"baseline": {"a": [0.5, 0.6]}, "warm-up": {"a": [0.7, None]}})
    second = made_experiment(tmp_path / "2", {"baseline": {"a": [0.1, 0.6, 0.7]}, "warm-up": {"a": [0.1, 0.8, 0.9]}})
    (joined,) = join_experiments([first, second])
    assert joined.seeds == (0, 1, 2)
    assert joined.row("baseline").spread("mAP", "a").values == pytest.approx((0.5, 0.6, 0.7)), "of the first, once"
    assert joined.row("warm-up").spread("mAP", "a").values == pytest.approx((0.7, 0.8, 0.9))


def test_other_settings_or_pictures_are_not_joined(tmp_path):
    first = made_experiment(tmp_path / "1", VALUES)
    other = made_experiment(tmp_path / "2", VALUES, config=bag_of_tricks())
    third = made_experiment(tmp_path / "3", VALUES, counts={"a": MARKET})
    assert len(join_experiments([first, other])) == 2
    assert len(join_experiments([first, third])) == 1, "fingerprints agree"
    with pytest.raises(InputError, match="named twice"):
        load_experiments([tmp_path / "1", tmp_path / "1"])


def test_the_verb_report_writes_all_forms(tmp_path, capsys):
    made_experiment(tmp_path / "1", VALUES, references=REFERENCES)
    made_experiment(tmp_path / "2", {"full": {"a": [0.5, 0.6]}}, name="seeds")
    out = tmp_path / "out"
    assert main(["experiment", "report", str(tmp_path / "1"), str(tmp_path / "2"), "--output", str(out)]) == 0
    printed = capsys.readouterr().out
    assert (out / "table.txt").read_text().strip() in printed
    assert (out / "table.md").read_text().count("**") == 4
    assert (out / "table.tex").read_text().count(r"\begin{tabular}") == 2
    assert main(["experiment", "report", str(out)]) == 2
    assert "is no experiment folder" in capsys.readouterr().err
