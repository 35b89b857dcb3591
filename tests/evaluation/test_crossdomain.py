import json

import numpy as np
import pytest

from strongreid.cli import main
from strongreid.data.readers import read_dataset
from strongreid.errors import InputError
from strongreid.evaluation import EvalResult, evaluate
from strongreid.evaluation.crossdomain import cross_domain_json, cross_domain_summary, cross_domain_table
from strongreid.evaluation.protocols import evaluate_protocol
from strongreid.extraction import Extractor, evaluate_models, query_and_gallery
from strongreid.features import FeatureTable
from strongreid.model.network import ReIDModel
from strongreid.model.weights import InputSpec, save_model


def result(seed):
    rng = np.random.default_rng(seed)
    query, gallery = (
        FeatureTable(rng.normal(size=(n, 4)), rng.integers(0, 5, n), np.full(n, camera), ("",) * n)
        for n, camera in ((10, 1), (40, 2))
    )
    return evaluate(query, gallery)


@pytest.fixture(scope="module")
def results():
    pairs = [("market", "market"), ("market", "duke"), ("duke", "duke"), ("msmt17", "market")]
    return {pair: result(seed) for seed, pair in enumerate(pairs)}


def test_a_row_per_training_set_and_a_column_per_test_set(results):
    head, rule, *rows, note = cross_domain_table(results).splitlines()
    assert head.split() == ["train", "\\", "test", "market", "duke"]
    assert {len(line) for line in (rule, *rows)} == {len(head)}
    assert [row.split()[0] for row in rows] == ["market", "duke", "msmt17"]

    def cell(*pair):
        return f"{100 * results[pair].mAP:.2f} / {100 * results[pair].rank(1):.2f}"

    assert rows[0].split("  ", 1)[1].strip() == f"{cell('market', 'market')} *  {cell('market', 'duke')}"
    assert rows[1].split() == ["duke", "-", *cell("duke", "duke").split(), "*"]
    assert rows[2].split() == ["msmt17", *cell("msmt17", "market").split(), "-"]
    assert note == "mAP / Rank-1 in percent; * tested on the set of its training"


def test_nothing_is_marked_where_every_test_set_is_foreign(results):
    text = cross_domain_table({pair: own for pair, own in results.items() if pair[0] != pair[1]})
    assert "*" not in text


def test_the_matrix_is_json(results):
    value = json.loads(cross_domain_json(results))
    assert value == cross_domain_summary(results)
    assert (value["train"], value["test"]) == (["market", "duke", "msmt17"], ["market", "duke"])
    assert [(pair["train"], pair["test"]) for pair in value["pairs"]] == list(results)
    first = results["market", "market"]
    pair = value["pairs"][0]
    assert (pair["mAP"], pair["mINP"], pair["rank1"]) == (first.mAP, first.mINP, first.rank(1))
    assert (pair["queries"], pair["gallery"], pair["leave_out"]) == (first.queries, 40, "same_camera")


def test_refuses_an_empty_matrix():
    for make in (cross_domain_table, cross_domain_json):
        with pytest.raises(InputError, match="there are no results to put in a table"):
            make({})


@pytest.fixture
def models(tmp_path, like_reference):
    """Two model folders; the second tests by Euclidean distance."""
    for name, metric in (("a", "cosine"), ("b", "euclidean")):
        model = like_reference(ReIDModel("resnet10_w16", identities=3, pretrained=False, image_size=(64, 32)))
        save_model(tmp_path / name, model, InputSpec(64, 32, metric=metric))
    return {name: tmp_path / name for name in "ab"}


def test_every_model_is_evaluated_on_every_set_with_its_own_metric(models, market):
    extractors = {name: Extractor(folder, device="cpu") for name, folder in models.items()}
    dataset = read_dataset("market1501", market)
    found = evaluate_models(extractors, {"x": dataset, "y": dataset})
    assert list(found) == [("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")]
    for (name, _), own in found.items():
        extract = extractors[name]
        expected = evaluate(extract.table(dataset.query), extract.table(dataset.gallery), extract.spec.metric)
        assert own.json() == expected.json()
    assert [own.metric for own in found.values()] == ["cosine", "cosine", "euclidean", "euclidean"]
    assert {own.metric for own in evaluate_models(extractors, {"x": dataset}, metric="cosine").values()} == {"cosine"}
    with pytest.raises(InputError, match="no models"):
        evaluate_models({}, {"x": dataset})
    with pytest.raises(InputError, match="no data sets"):
        evaluate_models(extractors, {})


def run(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    return code, *capsys.readouterr()


def test_the_command_line_prints_and_writes_the_matrix(models, market, tmp_path, capsys):
    arguments = ["cross-domain", "--models", *(f"{name}={folder}" for name, folder in models.items())]
    arguments += ["--data", f"a={market}", f"y={market}", "--device", "cpu", "--quiet"]
    code, out, _ = run(capsys, *arguments, "--output", tmp_path / "matrix.json")
    assert code == 0
    assert out.splitlines()[0].split() == ["train", "\\", "test", "a", "y"]
    assert out.count("*") == 2, "a on a, and the note"
    written = json.loads((tmp_path / "matrix.json").read_text())
    assert [(pair["train"], pair["test"]) for pair in written["pairs"]] == [
        ("a", "a"),
        ("a", "y"),
        ("b", "a"),
        ("b", "y"),
    ]
    code, out, _ = run(capsys, *arguments, "--json", "--kind", "market1501", "y=dukemtmc", "--metric", "cosine")
    assert code == 0
    assert {pair["metric"] for pair in json.loads(out)["pairs"]} == {"cosine"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--models": ["runs/a"]}, "--models takes NAME=FOLDER, got 'runs/a'"),
        ({"--data": ["x=one", "x=two"]}, "--data names 'x' twice"),
        ({"--data": ["=one"]}, "--data takes NAME=FOLDER, got '=one'"),
        ({"--kind": ["market1501", "z=dukemtmc"]}, "--kind names 'z', which is not among --data: x"),
        ({"--kind": ["market1501", "dukemtmc"]}, "--kind takes one layout for all"),
        ({"--data": ["x=nowhere"]}, "nowhere"),
    ],
)
def test_the_command_line_refuses(change, message, models, market, capsys):
    flags = {"--models": [f"a={models['a']}"], "--data": [f"x={market}"]} | change
    arguments = [word for flag, values in flags.items() for word in (flag, *values)]
    code, out, error = run(capsys, "cross-domain", *arguments, "--device", "cpu", "--quiet")
    assert (code, out) == (2, "")
    assert message in error


def test_evaluating_by_protocol_on_the_command_line(models, market, tmp_path, capsys):
    extract = Extractor(models["a"], device="cpu")
    query, gallery = query_and_gallery(extract, read_dataset("market1501", market))
    arguments = ["evaluate", models["a"], market, "--device", "cpu", "--quiet", "--seed", 3]
    code, out, _ = run(capsys, *arguments, "--protocol", "vehicleid", "--output", tmp_path / "draw.json")
    assert code == 0
    assert "10 runs" in out
    expected = evaluate_protocol(query, gallery, "vehicleid", extract.spec.metric, seed=3)
    written = [EvalResult.load(tmp_path / f"draw-{number:02d}.json") for number in range(1, 11)]
    assert [own.mAP for own in written] == pytest.approx([own.mAP for own in expected])
    code, out, _ = run(capsys, *arguments, "--protocol", "all_against_all", "--json", "--output", tmp_path / "r.json")
    assert code == 0
    (pooled,) = evaluate_protocol(query, gallery, "all_against_all", extract.spec.metric)
    assert json.loads(out)["queries"] == pooled.queries == EvalResult.load(tmp_path / "r.json").queries
    code, out, _ = run(capsys, *arguments, "--protocol", "msmt17")
    assert (code, out) == (0, evaluate(query, gallery, extract.spec.metric).table() + "\n")


def test_breakdowns_on_the_command_line(models, market, capsys):
    arguments = ["evaluate", models["a"], market, "--device", "cpu", "--quiet"]
    code, out, _ = run(capsys, *arguments, "--breakdown", "cameras")
    assert code == 0
    assert "query \\ gallery" in out
    code, out, _ = run(capsys, *arguments, "--breakdown", "identities", "--json", "--rerank", "k_reciprocal")
    assert code == 0
    value = json.loads(out)
    assert value["result"]["rerank"] == "k_reciprocal"
    assert {entry["number"] for entry in value["breakdown"]["groups"]} == {5, 6, 7}
    for more, message in (
        (["--breakdown", "distractors"], "the gallery has no distractors"),
        (["--breakdown", "identities", "--protocol", "vehicleid"], "'vehicleid' draws its galleries"),
        (["--breakdown", "cameras", "--rerank", "k_reciprocal"], "a breakdown by cameras ranks parts of the gallery"),
        (["--protocol", "market"], "unknown protocol 'market'"),
    ):
        code, _, error = run(capsys, *arguments, *more)
        assert code == 2
        assert message in error
