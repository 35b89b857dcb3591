"""What evaluate prints, keeps and draws when it is asked for more than the table."""

import json

import pytest

from strongreid.cli import main
from strongreid.data.readers import read_dataset
from strongreid.evaluation import EvalResult, centre_cameras, evaluate
from strongreid.extraction import Extractor, query_and_gallery
from strongreid.model.network import ReIDModel
from strongreid.model.weights import InputSpec, save_model


@pytest.fixture
def folder(tmp_path, like_reference):
    model = like_reference(ReIDModel("resnet10_w16", identities=4, pretrained=False, image_size=(64, 32)))
    save_model(tmp_path / "model", model, InputSpec(64, 32))
    return tmp_path / "model"


def run(folder, data, *arguments):
    return main(["evaluate", str(folder), str(data), "--device", "cpu", "--quiet", *map(str, arguments)])


def test_intervals_answers_and_figures(folder, market, tmp_path, capsys):
    assert run(folder, market, "--intervals", "--answers", 2, "--figures", tmp_path / "drawn",
               "--output", tmp_path / "result.json") == 0  # fmt: skip
    out = capsys.readouterr().out
    assert "95 % interval" in out
    assert {path.name for path in (tmp_path / "drawn").iterdir()} >= {"cmc.png", "roc.png", "worst.png"}
    kept = EvalResult.load(tmp_path / "result.json")
    assert all(len(paths) == 2 for paths in kept.answers.paths)
    assert kept.pairs.same.sum() > 0


def test_json_on_the_output_is_json_alone(folder, market, tmp_path, capsys):
    assert run(folder, market, "--json", "--intervals", "--figures", tmp_path / "drawn") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["format"] == "strongreid.evaluation"
    assert "95 % interval" in err


@pytest.mark.parametrize("more", [["--protocol", "vehicleid"], ["--breakdown", "identities"]])
@pytest.mark.parametrize("asked", [["--answers", "3"], ["--figures", "drawn"], ["--intervals"]])
def test_refuses_what_drawn_galleries_and_breakdowns_do_not_have(folder, market, more, asked, capsys):
    assert run(folder, market, *more, *asked) == 2
    assert "--answers, --figures and --intervals" in capsys.readouterr().err


@pytest.mark.parametrize("protocol", [[], ["--protocol", "market1501", "--breakdown", "identities"]])
def test_centred_cameras_give_what_the_function_gives(folder, market, tmp_path, protocol):
    assert run(folder, market, "--centre_cameras", "--output", tmp_path / "centred.json", *protocol) == 0
    found = EvalResult.load(tmp_path / "centred.json")
    extract = Extractor(folder, device="cpu")
    tables = centre_cameras(*query_and_gallery(extract, read_dataset("market1501", market)))
    assert found.model.endswith("+centred")
    assert found.mAP == pytest.approx(evaluate(*tables, device="cpu").mAP, abs=1e-9)
