"""The command line: what it prints, what it refuses, and that a refusal writes nothing."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import strongreid.training.loop
import strongreid.training.setup
from strongreid.cli import VERBS, main
from strongreid.config import PRESETS, Config
from strongreid.model.spec import InputSpec
from strongreid.training.runlog import NonFiniteLossError

TINY = ["--preset", "tiny", "--batch.identities", "2", "--batch.images", "2", "--quiet"]


@pytest.fixture
def run(capsys):
    """Run the command line; returns exit code, standard output and standard error."""

    def call(*arguments):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def refusal(run):
    """Run what must be refused: exit code 2, nothing on standard output, one or two lines on standard error."""

    def call(*arguments):
        code, out, error = run(*arguments)
        assert (code, out) == (2, "")
        assert 1 <= len(error.strip().splitlines()) <= 2, error
        return error

    return call


@pytest.fixture
def configured(run, monkeypatch, tmp_path):
    """Run `train` up to the call of the loop; returns the configuration that the loop would get."""
    taken = []

    def take(config, *, resume, progress):
        taken.append(config)
        (tmp_path / "table.txt").write_text("the table")

    monkeypatch.setattr(strongreid.training.loop, "train", take)

    def call(*arguments):
        code, out, error = run("train", *arguments, "--run.output", tmp_path)
        assert (code, error) == (0, "")
        assert "the table" in out
        config = taken.pop()
        return dataclasses.replace(config, run=dataclasses.replace(config.run, output=Config().run.output))

    return call


@pytest.mark.parametrize(("arguments", "code"), [(["--help"], 0), (["-h"], 0), (["help"], 0), ([], 2)])
def test_help_lists_the_verbs(arguments, code, run):
    found, out, error = run(*arguments)
    assert (found, error) == (code, "")
    for verb in VERBS:
        assert f"\n  {verb} " in out


def test_version(run):
    assert run("--version") == (0, f"{strongreid.__version__}\n", "")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_help(verb, run):
    code, out, error = run(verb, "--help")
    assert (code, error) == (0, "")
    assert f"strongreid {verb}" in out
    assert "--help" in out


def test_the_help_of_training_explains_every_setting(run):
    out = " ".join(run("train", "--help")[1].split())
    for room in dataclasses.fields(Config):
        for setting in dataclasses.fields(room.default_factory):
            assert f"--{room.name}.{setting.name} " in out
    assert "probability of random erasing (trick 2); 0 is off." in out


@pytest.mark.parametrize(("word", "nearest"), [("trian", "train"), ("evalute", "evaluate"), ("Inspect", "inspect")])
def test_an_unknown_verb_names_the_nearest(word, nearest, refusal):
    error = refusal(word)
    assert f"unknown verb {word!r}" in error
    assert f"Did you mean {nearest}?" in error
    assert all(verb in error for verb in VERBS)


@pytest.mark.parametrize(
    ("arguments", "nearest"),
    [
        (["train", "--optim.lrr", "1"], "--optim.lr"),
        (["train", "--optim.warmup_epoch=3"], "--optim.warmup_epochs"),
        (["train", "--model.bakbone", "resnet18"], "--model.backbone"),
        (["train", "--resum"], "--resume"),
        (["evaluate", "m", "d", "--re-rank", "k_reciprocal"], "--rerank"),
        (["extract", "m", "d", "o", "--featur", "f_i"], "--feature"),
        (["inspect", "d", "--sheets", "x"], "--sheet"),
    ],
)
def test_an_unknown_flag_names_the_nearest(arguments, nearest, refusal):
    error = refusal(*arguments)
    assert arguments[0] in error
    assert f"Nearest: {nearest}" in error


@pytest.mark.parametrize(
    ("verb", "flag", "value"),
    [
        ("train", "optim.epochs", "many"),
        ("train", "optim.lr", "fast"),
        ("train", "optim.milestones", "40"),
        ("train", "model.last_stride", "3"),
        ("train", "model.neck", "bottle"),
        ("train", "augment.erasing_fill", "black"),
        ("train", "data.skip_unreadable", "perhaps"),
        ("train", "preset", "huge"),
        ("evaluate", "metric", "manhattan"),
        ("evaluate", "batch", "big"),
    ],
)
def test_a_wrong_value_names_its_flag(verb, flag, value, refusal):
    error = refusal(verb, *(["model", "data"] if verb == "evaluate" else []), f"--{flag}", value)
    assert flag in error
    assert value in error


def test_missing_arguments_are_named(refusal):
    assert "model, data" in refusal("evaluate")
    assert "pictures, output" in refusal("extract", "model")


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_reaches_the_loop_unchanged(preset, configured):
    assert configured("--preset", preset) == PRESETS[preset]()
    assert configured(f"--preset={preset}") == PRESETS[preset]()


def test_the_default_preset_is_the_full_recipe(configured):
    assert configured() == Config() == PRESETS["bag_of_tricks"]()


@pytest.mark.parametrize("preset", PRESETS)
def test_a_printed_configuration_can_be_given_back(preset, run, configured, tmp_path):
    changes = ["--optim.milestones", "[3, 5, 8]", "--loss.margin", "null", "--model.pretrained", "w.pth"]
    code, text, _ = run("train", "--preset", preset, *changes, "--print_config")
    assert code == 0
    (tmp_path / "run.yaml").write_text(text)
    expected = configured("--preset", preset, *changes)
    assert (expected.optim.milestones, expected.loss.margin) == ((3, 5, 8), None)
    assert expected.model.pretrained == "w.pth"
    assert configured("--config", tmp_path / "run.yaml") == expected


def test_flags_go_before_the_file_and_the_file_before_the_preset(configured, tmp_path):
    (tmp_path / "run.yaml").write_text("optim: {lr: 0.5, epochs: 7}\nmodel: {backbone: resnet18}\n")
    config = configured("--preset", "tiny", "--config", tmp_path / "run.yaml", "--optim.epochs", "9")
    assert (config.optim.lr, config.optim.epochs, config.model.backbone) == (0.5, 9, "resnet18")
    assert config.data == PRESETS["tiny"]().data


def test_a_file_can_name_its_preset(configured, tmp_path):
    (tmp_path / "run.yaml").write_text("preset: tiny\noptim: {epochs: 7}\n")
    tiny = PRESETS["tiny"]()
    expected = dataclasses.replace(tiny, optim=dataclasses.replace(tiny.optim, epochs=7))
    assert configured("--config", tmp_path / "run.yaml") == expected
    other = configured("--config", tmp_path / "run.yaml", "--preset", "plain_baseline")
    assert other.model == PRESETS["plain_baseline"]().model


def test_of_several_presets_the_last_one_counts(configured):
    assert configured("--preset=tiny", "--preset", "plain_baseline") == PRESETS["plain_baseline"]()
    assert configured("--preset", "plain_baseline", "--preset=tiny") == PRESETS["tiny"]()
    assert configured("--config", "{preset: tiny}") == PRESETS["tiny"]()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("optim: {lrr: 0.5}\n", "optim.lrr Nearest: --optim.lr"),
        ("optimiser: {lr: 0.5}\n", "optimiser"),
        ("optim: {epochs: many}\n", "optim.epochs"),
        ("preset: huge\n", "huge"),
        ("optim: [\n", "run.yaml"),
        (None, "run.yaml"),
    ],
)
def test_a_wrong_configuration_file_is_refused(text, message, refusal, tmp_path):
    if text is not None:
        (tmp_path / "run.yaml").write_text(text)
    assert message in refusal("train", "--config", tmp_path / "run.yaml")


def test_the_plain_baseline_differs_in_the_six_switches_only():
    full, plain = PRESETS["bag_of_tricks"]().to_dict(), PRESETS["plain_baseline"]().to_dict()
    different = {
        f"{room}.{name}": (full[room][name], plain[room][name])
        for room in full
        for name in full[room]
        if full[room][name] != plain[room][name]
    }
    assert different == {
        "optim.warmup_epochs": (10, 0),
        "augment.erasing": (0.5, 0),
        "loss.label_smoothing": (0.1, 0),
        "model.last_stride": (1, 2),
        "model.neck": ("bnneck", "none"),
        "loss.center_weight": (0.0005, 0),
    }


class TestRefusedTraining:
    """Nothing is written: neither the run folder nor anything in the data set."""

    @pytest.fixture
    def refused(self, refusal, market, tmp_path):  # noqa: ARG002 (the data set must be there before the first look)
        def call(*arguments):
            before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
            error = refusal("train", *TINY, "--run.output", tmp_path / "run", *arguments)
            assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
            assert error.startswith("strongreid train: ")
            return error

        return call

    def test_without_data(self, refused):
        assert "no data set was named: pass --data.root FOLDER" in refused()

    def test_of_a_missing_folder(self, refused, tmp_path):
        assert f"{tmp_path / 'nowhere'}: no such folder" in refused("--data.root", tmp_path / "nowhere")

    def test_of_another_layout(self, refused, market):
        error = refused("--data.root", market / "query")
        assert "not the expected layout: no folder bounding_box_train, query, bounding_box_test" in error
        assert f"The layout is in {market}" in error

    def test_of_an_unknown_layout(self, refused, market):
        assert "valid kinds: market1501" in refused("--data.root", market, "--data.kind", "market1510")

    @pytest.mark.parametrize("device", ["cuda", "cuda:1"])
    def test_on_a_gpu_that_is_not_there(self, device, refused, market, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
        error = refused("--data.root", market, "--run.device", device)
        assert f"device {device!r} was asked for, but torch sees 0 CUDA devices here" in error

    def test_on_a_device_that_does_not_exist(self, refused, market):
        assert "unknown device 'gpu'" in refused("--data.root", market, "--run.device", "gpu")

    def test_of_an_unknown_backbone(self, refused, market):
        error = refused("--data.root", market, "--model.backbone", "resnet5O")
        assert "unknown backbone 'resnet5O'" in error
        assert "resnet50" in error

    def test_with_weights_that_are_not_there(self, refused, market):
        weights = ["--model.backbone", "resnet18", "--model.pretrained", "nowhere.pth"]
        assert "weight file nowhere.pth does not exist" in refused("--data.root", market, *weights)

    def test_of_fewer_identities_than_a_batch(self, refused, market):
        error = refused("--data.root", market, "--batch.identities", "16")
        assert "4 training identities with 16 pictures can't fill a batch of 16 identities" in error

    def test_of_an_unreadable_picture(self, refused, market):
        broken = min((market / "query").iterdir())
        broken.write_bytes(broken.read_bytes()[:100])
        error = refused("--data.root", market)
        assert broken.name in error
        assert "--skip-unreadable" in error

    def test_in_a_folder_that_holds_something(self, refused, market, tmp_path):
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "notes.txt").write_text("mine")
        error = refused("--data.root", market)
        assert f"{tmp_path / 'run'} already holds something: pass --resume" in error
        assert "another --run.output" in error

    def test_over_a_file(self, refused, market, tmp_path):
        (tmp_path / "run").write_text("mine")
        assert f"{tmp_path / 'run'} already holds something" in refused("--data.root", market)

    def test_of_a_large_data_set_too(self, refused, market, monkeypatch):
        monkeypatch.setattr(strongreid.training.setup, "IN_MEMORY", 0)
        refused("--data.root", market, "--model.backbone", "resnet5O")
        refused("--data.root", market, "--batch.identities", "16")


@pytest.mark.parametrize(
    "arguments", [["evaluate", "MODEL", "DATA"], ["extract", "MODEL", "DATA", "OUT"]], ids=["evaluate", "extract"]
)
def test_a_model_that_is_none_is_refused(arguments, refusal, market, tmp_path):
    places = {"MODEL": tmp_path / "nowhere", "DATA": market, "OUT": tmp_path / "x.parquet"}
    error = refusal(*(places.get(word, word) for word in arguments))
    assert f"{tmp_path / 'nowhere'} is not a model folder" in error
    assert not places["OUT"].exists()


def test_inspect_prints_the_counts_and_draws_the_sheet(run, market, tmp_path):
    code, out, error = run("inspect", market, "--sheet", tmp_path / "sheet.png")
    assert (code, error) == (0, "")
    train = next(line for line in out.splitlines() if line.startswith("train"))
    assert {"16", "4"} <= set(train.split())
    assert f"contact sheet: {tmp_path / 'sheet.png'}" in out
    with Image.open(tmp_path / "sheet.png") as sheet:
        colours = {tuple(colour) for colour in np.asarray(sheet.convert("RGB")).reshape(-1, 3)}
    assert len(colours) > 50


def test_inspect_refuses_what_is_no_data_set(refusal, tmp_path):
    assert "no such folder" in refusal("inspect", tmp_path / "nowhere", "--sheet", tmp_path / "sheet.png")
    assert not (tmp_path / "sheet.png").exists()


@pytest.mark.parametrize("verb", ["train", "evaluate", "extract"])
def test_a_missing_extra_is_one_line_with_the_command_that_installs_it(verb, tmp_path):
    more = {"train": [], "evaluate": ["model", "data"], "extract": ["model", "pictures", "x.parquet"]}[verb]
    (tmp_path / "model").mkdir()
    description = {"format": 1, "sha256": "0" * 64, "input": dataclasses.asdict(InputSpec(64, 32))}
    (tmp_path / "model" / "model.json").write_text(json.dumps(description))
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (32, 64)).save(tmp_path / "pictures" / "0001_c1s1_000000_00.png")
    done = without("torch", verb, *more, folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"strongreid {verb} needs torch: pip install 'strongreid[train]'\n"
    there = ["0001_c1s1_000000_00.png", "model", "model.json", "pictures"]
    assert sorted(path.name for path in tmp_path.rglob("*")) == there


@pytest.mark.parametrize("missing", ["torchvision", "timm", "matplotlib"])
def test_so_is_a_part_of_it_and_another_module_is_our_own_bug(missing, run, refusal, monkeypatch):
    def fail(arguments):
        raise ModuleNotFoundError(f"No module named {arguments[0]!r}", name=arguments[0])

    monkeypatch.setitem(VERBS, "train", fail)
    assert refusal("train", missing) == f"strongreid train needs {missing}: pip install 'strongreid[train]'\n"
    with pytest.raises(ModuleNotFoundError, match=r"strongreid\.trainings"):
        run("train", "strongreid.trainings")


def test_an_interrupt_is_said_in_one_line(run, monkeypatch):
    def interrupt(arguments):
        raise KeyboardInterrupt

    monkeypatch.setitem(VERBS, "train", interrupt)
    assert run("train") == (130, "", "strongreid train: interrupted\n")


def test_a_loss_that_is_not_finite_is_exit_code_2(run, market, monkeypatch):
    def explode(*arguments, **options):
        raise NonFiniteLossError("the loss is not finite in epoch 3, step 4")

    monkeypatch.setattr(strongreid.training.loop, "train", explode)
    error = "strongreid train: the loss is not finite in epoch 3, step 4\n"
    assert run("train", "--data.root", market) == (2, "", error)


def test_a_world_out_of_range_is_refused(refusal, tmp_path):
    assert "frames_max" in refusal("synthesize", tmp_path / "world", "--frames_max", "1")
    assert not (tmp_path / "world").exists()


def test_the_base_install_generates_and_inspects(tmp_path):
    sizes = ["--train_identities", "1", "--test_identities", "1", "--cameras", "2", "--frames_max", "2"]
    generate = ["synthesize", "data", *sizes, "--processes", "1", "--quiet"]
    for arguments in (generate, ["inspect", "data", "--sheet", "sheet.png"]):
        done = without("torch", *arguments, folder=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("data: " if arguments is generate else "market1501")
    assert (tmp_path / "sheet.png").stat().st_size > 0


def without(missing, *arguments, folder):
    """Run the command line in a Python that lacks a package."""
    code = (
        f"import sys; sys.modules[{missing!r}] = None; from strongreid.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=folder, capture_output=True, text=True, timeout=60
    )
