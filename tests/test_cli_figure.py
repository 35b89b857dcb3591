"""The verb figure: every kind from its command line, and what it refuses."""

import re
import subprocess
import sys

import pytest
from PIL import Image

from strongreid.cli import main
from strongreid.cli.figures import KINDS
from strongreid.config import tiny
from strongreid.files import write_json
from strongreid.model.network import ReIDModel
from strongreid.model.weights import InputSpec, save_model


@pytest.fixture
def run(capsys):
    def call(*arguments):
        try:
            code = main(["figure", *map(str, arguments)])
        except SystemExit as end:
            code = end.code
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def model(tmp_path):
    spec = InputSpec(64, 32)
    save_model(tmp_path / "model", ReIDModel("resnet10_w16", 4, pretrained=False, image_size=(64, 32)), spec)
    return tmp_path / "model"


def test_the_kinds_are_listed(run):
    code, out, _ = run("--help")
    assert code == 0
    assert all(f"\n  {kind} " in out for kind in KINDS)
    assert run()[0] == 2


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_help_that_imports_no_torch(kind):
    code = (
        "import sys\nfrom strongreid.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "print('heavy', *({'torch', 'matplotlib', 'timm'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, "figure", kind, "--help"]
    out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert f"strongreid figure {kind}" in out
    assert "--output" in out
    assert out.splitlines()[-1] == "heavy"


def test_every_kind_draws(run, market, model, tmp_path):
    pictures = sorted((market / "query").iterdir())
    (tmp_path / "log.jsonl").write_text(
        '{"event": "epoch", "epoch": 1, "lr": 1, "identity": 2.0}\n'
        '{"event": "evaluation", "epoch": 1, "mAP": 0.2, "rank1": 0.3}\n'
    )
    write_json(tmp_path / "config.json", tiny().to_dict())
    arguments = {
        "erasing": [market, "--pictures", 2, "--samples", 1, "--height", 64, "--width", 32],
        "schedule": ["bag_of_tricks", tmp_path / "config.json"],
        "space": [model, market],
        "distances": [model, market],
        "cam": [model, *pictures, "--reference", market / "query"],
        "similarity": [model, pictures[0], pictures[1]],
        "curves": [tmp_path / "log.jsonl"],
    }
    for kind, given in arguments.items():
        output = tmp_path / f"{kind}.png"
        code, out, error = run(kind, *given, "--output", output)
        assert (code, error) == (0, ""), (kind, error)
        assert out.splitlines()[-1] == f"figure: {output}"
        with Image.open(output) as picture:
            assert min(picture.size) > 100
    assert set(KINDS) - set(arguments) == {"features-2d"}, "tried below"


def test_features_2d_draws_and_prints_what_it_measured(run, tmp_path, world_of_six):
    output = tmp_path / "plane.svg"
    code, out, error = run("features-2d", world_of_six, "--identities", 2, "--steps", 3, "--output", output)
    assert (code, error) == (0, "")
    assert "ID + triplet, BNNeck: f_i" in out
    assert "<svg" in output.read_text()


@pytest.fixture
def world_of_six(market):
    """`market` with 6 pictures of each training identity."""
    folder = market / "bounding_box_train"
    for identity in range(1, 5):
        picture = next(folder.glob(f"{identity:04d}_*"))
        for number in (90, 91):
            (folder / f"{identity:04d}_c1s1_{number:06d}_00.png").write_bytes(picture.read_bytes())
    return market


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["erosion"], "unknown figure 'erosion'; there are erasing, .*Did you mean erasing?"),
        (["curves", "nowhere"], "nowhere is no run folder"),
        (["schedule", "huge"], "huge is no preset .* and no file of settings"),
        (["schedule", "tiny", "--steps", "0"], "at least 1 step"),
        (["erasing", "DATA", "--erasing", "2"], "--erasing is a probability from 0 to 1, got 2.0"),
        (["erasing", "DATA", "--pad", "-1"], "--pad is 0 or more"),
        (["features-2d", "DATA"], "0 of 4 training identities have at least 6 pictures"),
        (["space", "MODEL", "DATA", "--points", "1"], "nobody with at most 1 pictures"),
        (["distances", "MODEL"], "name the folder of a data set after it"),
        (["distances", "a.parquet"], "no feature table at a.parquet"),
        (["distances", "a", "b", "c"], "got 3 paths"),
        (["cam", "MODEL", "no.png"], "cannot read the picture no.png"),
        (["similarity", "MODEL", "no.png", "no.png"], "cannot read the picture no.png"),
        (["similarity", "MODEL", "a"], "b"),
    ],
)
def test_bad_input_is_refused_in_a_line_and_nothing_is_written(arguments, said, run, market, model, tmp_path):
    output = tmp_path / "out" / "x.png"
    named = [{"DATA": market, "MODEL": model}.get(argument, argument) for argument in arguments]
    code, out, error = run(*named, *(["--output", output] if len(named) > 1 else []))
    assert (code, out) == (2, "")
    assert len(error.strip().splitlines()) == 1
    assert re.search(said, error), error
    assert not output.parent.exists()


@pytest.mark.parametrize("kind", KINDS)
def test_another_format_is_refused_before_anything_else(kind, run):
    given = {"similarity": ["m", "a", "b"], "cam": ["m", "a"], "space": ["m", "d"]}.get(kind, ["nowhere"])
    code, _, error = run(kind, *given, "--output", "picture.jpg")
    assert code == 2
    assert "ends with 'jpg'; name a file that ends with .png, .svg, .pdf" in error
