"""Model folders: what is loaded is what was saved, and whatever doesn't belong together is refused by name."""

import errno
import hashlib
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from strongreid.errors import InputError
from strongreid.model import weights
from strongreid.model.network import ReIDModel
from strongreid.model.weights import InputSpec, load_model, save_model

SPEC = InputSpec(64, 32, mean=(0.5, 0.25, 0.125), std=(0.5, 1.0, 2.0), feature="f_t", metric="euclidean")
TRAINING = {"epoch": 3, "mAP": 0.25, "config": {"optim": {"milestones": [40, 70]}}}


def some_model(seed=0, **changes):
    torch.manual_seed(seed)
    settings = {"backbone": "resnet10_w16", "identities": 3, "image_size": (64, 32)} | changes
    model = ReIDModel(pretrained=False, **settings)
    model.train()(torch.randn(4, 3, 64, 32))  # running statistics away from 0 and 1
    return model


@torch.no_grad()
def outputs(model):
    return model.eval()(torch.randn(2, 3, 64, 32, generator=torch.Generator().manual_seed(1)))


def files_of(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "best"
    save_model(folder, some_model(), SPEC, TRAINING)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    """A folder of its own for each test, named `best`, with nothing beside it."""
    return shutil.copytree(saved, tmp_path / "best")


def refusal(folder):
    with pytest.raises(InputError) as caught:
        load_model(folder)
    return str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [{}, {"neck": "none"}, {"last_stride": 2}, {"identities": None}, {"backbone": "resnet18", "stem_relu": False}],
    ids=str,
)
def test_a_loaded_model_is_the_saved_one(changes, tmp_path):
    model = some_model(**changes)
    save_model(tmp_path / "model", model, SPEC, TRAINING)
    loaded = load_model(str(tmp_path / "model"))
    assert not loaded.model.training
    assert all(torch.equal(a, b) for a, b in zip(outputs(model), outputs(loaded.model), strict=True))
    assert loaded.model.settings == model.settings
    assert loaded.spec == SPEC
    assert loaded.training == TRAINING
    assert loaded.fingerprint == hashlib.sha256((tmp_path / "model" / "model.safetensors").read_bytes()).hexdigest()


def test_channels_last_weights_are_saved_too(tmp_path):
    model = some_model().to(memory_format=torch.channels_last)
    save_model(tmp_path / "model", model, SPEC)
    for a, b in zip(outputs(model), outputs(load_model(tmp_path / "model").model), strict=True):
        torch.testing.assert_close(a, b)


def test_models_have_different_fingerprints_and_a_copy_the_same(folder, tmp_path):
    save_model(tmp_path / "copy", some_model(), SPEC)
    save_model(tmp_path / "other", some_model(seed=1), SPEC)
    first, copy, other = (load_model(tmp_path / name).fingerprint for name in ("best", "copy", "other"))
    assert first == copy
    assert first != other


def test_saving_replaces_the_folder_as_a_whole(folder):
    (folder / "left.txt").write_text("of an earlier version")
    save_model(folder, some_model(seed=1, identities=5), SPEC)
    assert sorted(files_of(folder.parent)) == ["best/model.json", "best/model.safetensors"]
    assert load_model(folder).model.classifier.weight.shape == (5, 128)


def fail_without_space(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def fail_half_way(state, path):
    path.write_bytes(b"half of the weights")
    fail_without_space()


@pytest.mark.parametrize("failing", [fail_without_space, fail_half_way])
def test_a_full_disk_leaves_the_older_model(failing, folder, monkeypatch):
    before = files_of(folder.parent)
    monkeypatch.setattr(weights, "save_file", failing)
    with pytest.raises(InputError, match=r"cannot write .*best: No space left on device.*free some space"):
        save_model(folder, some_model(seed=1), SPEC)
    assert files_of(folder.parent) == before
    assert torch.equal(outputs(load_model(folder).model).feature, outputs(some_model()).feature)


def test_a_disk_that_refuses_more_bytes_leaves_the_older_model(folder):
    resource = pytest.importorskip("resource", reason="file size limits are a Unix thing")
    before = files_of(folder.parent)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(InputError, match=r"cannot write .*best.*free some space"):
            save_model(folder, some_model(seed=1), SPEC)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert files_of(folder.parent) == before


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "[]", "3", "{}", '{"format": 1}', '{"format": 1, "model": {}}', '{"format": 1, "model": null}'],
)
def test_a_corrupt_description_is_refused(text, folder):
    (folder / "model.json").write_text(text)
    assert "best/model.json" in refusal(folder)


@pytest.mark.parametrize("room", ["model", "input", "sha256", "training"])
def test_a_description_that_lacks_a_part_or_has_a_foreign_one_is_refused(room, folder):
    whole = json.loads((folder / "model.json").read_text())
    for value in (None, {"colour": "red"}, 7):
        if room == "training" and isinstance(value, dict):
            continue  # a run may write anything about itself
        (folder / "model.json").write_text(json.dumps(whole | {room: value}))
        assert str(folder) in refusal(folder)
    (folder / "model.json").write_text(json.dumps({name: part for name, part in whole.items() if name != room}))
    assert repr(room) in refusal(folder)


def test_bytes_that_are_no_text_are_refused(folder):
    (folder / "model.json").write_bytes(b"\xff\xfe{}")
    assert "best/model.json" in refusal(folder)


def test_a_newer_format_asks_for_a_newer_version(folder):
    whole = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(whole | {"format": 2}))
    assert "has format 2; this version reads 1: upgrade strongreid" in refusal(folder)


@pytest.mark.parametrize("length", [0, 4, 100, -1])
def test_truncated_weights_are_refused(length, folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:length])
    assert "model.safetensors is corrupt" in refusal(folder)


def test_absent_weights_are_refused(folder):
    (folder / "model.safetensors").unlink()
    assert "model.safetensors is corrupt or missing" in refusal(folder)


@pytest.mark.parametrize("place", [0, 3, 7, 8, 20, 41, 200, 1000, 5000, -5000, -1])
def test_a_flipped_byte_is_refused(place, folder):
    file = folder / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)
    assert "model.safetensors" in refusal(folder)


def test_a_flipped_bit_of_a_weight_is_found_by_its_checksum(folder):
    file = folder / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert "model.safetensors is not the file that model.json describes (SHA-256 differs)" in refusal(folder)


def change_weights(folder, change):
    """Write other weights with a checksum that fits them."""
    file = folder / "model.safetensors"
    state = load_file(file)
    change(state)
    save_file(state, file)
    description = json.loads((folder / "model.json").read_text())
    description["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    (folder / "model.json").write_text(json.dumps(description))


def test_a_missing_tensor_is_named(folder):
    change_weights(folder, lambda state: state.pop("neck.weight"))
    message = refusal(folder)
    assert "tensor neck.weight is missing in" in message
    assert "best/model.safetensors" in message


def test_a_tensor_too_many_is_named(folder):
    change_weights(folder, lambda state: state.update({"head.bias": torch.zeros(3)}))
    assert "holds 1 tensors that model.json does not ask for, such as head.bias" in refusal(folder)


def test_a_wrong_shape_is_named_with_both_shapes(folder):
    change_weights(folder, lambda state: state.update({"classifier.weight": torch.zeros(4, 128)}))
    message = refusal(folder)
    assert "tensor classifier.weight has shape (4, 128) in" in message
    assert "best/model.safetensors, but model.json asks for (3, 128)" in message


@pytest.mark.parametrize("nested", ["last", "best"])
def test_a_run_folder_points_to_its_models(nested, tmp_path):
    save_model(tmp_path / "run" / nested, some_model(), SPEC)
    assert refusal(tmp_path / "run").endswith(f"Did you mean {tmp_path / 'run' / nested}?")


def test_a_foreign_folder_and_none_at_all_are_refused(tmp_path):
    (tmp_path / "pictures").mkdir()
    for name in ("pictures", "nowhere"):
        message = refusal(tmp_path / name)
        assert f"{tmp_path / name} is not a model folder: it has no model.json" in message
        assert "Did you mean" not in message


def test_a_save_that_was_killed_between_its_two_renames_still_loads(folder):
    folder.rename(folder.with_name(".best.old"))
    assert load_model(folder).spec == SPEC
