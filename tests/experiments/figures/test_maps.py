"""Maps over pictures: their values are the summands of logits and cosines, exactly."""

import numpy as np
import pytest
import torch

from strongreid.data.augment import normalize
from strongreid.errors import InputError
from strongreid.experiments.figures.maps import Located, class_activation, locate, match_regions, neck_as_line
from strongreid.experiments.figures.overlays import draw_maps, draw_match
from strongreid.extraction import Extractor
from strongreid.model.network import ReIDModel
from strongreid.model.weights import InputSpec, LoadedModel, load_model


@pytest.fixture(scope="module")
def paths(people):
    return [record.path for record in people.query[:3]]


@pytest.fixture(scope="module")
def others(people):
    return [record.path for record in people.gallery[:9]]


@pytest.mark.parametrize("feature", ["f_i", "f_t"])
@pytest.mark.parametrize("referred", [False, True])
def test_the_contributions_of_all_locations_sum_to_the_cosine(model_folder, paths, others, feature, referred):
    located = locate(load_model(model_folder), paths, feature=feature, reference=others if referred else ())
    features = Extractor(model_folder, device="cpu", feature=feature)(paths).astype(np.float64)
    for a, b in ((0, 1), (2, 0)):
        cosine = features[a] @ features[b] / np.linalg.norm(features[a]) / np.linalg.norm(features[b])
        found = match_regions(located, a, b)
        assert found.cosine == pytest.approx(cosine, abs=1e-5)
        for part in (found.a, found.b, found.pairs):
            assert part.sum() == pytest.approx(cosine, abs=1e-5)
        np.testing.assert_allclose(found.pairs.sum(axis=1), found.a.ravel(), atol=1e-12)


def test_bnneck_is_a_scale_and_a_shift(bnneck_folder):
    model = load_model(bnneck_folder).model
    pooled = torch.randn(5, model.dim)
    scale, shift = neck_as_line(model)
    torch.testing.assert_close((pooled * scale + shift).float(), model.neck(pooled), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("referred", [False, True])
def test_a_class_activation_and_the_bias_sum_to_the_logit(model_folder, paths, others, referred):
    loaded = load_model(model_folder)
    located = locate(loaded, paths, reference=others if referred else ())
    maps = class_activation(located)
    with torch.no_grad():
        logits = loaded.model(normalize(torch.from_numpy(located.pictures))).logits.double().numpy()
    assert maps.kind == "class activation"
    assert maps.classes == tuple(logits.argmax(axis=1))
    bias = loaded.model.classifier.bias
    for number, named in enumerate(maps.classes):
        rest = 0 if bias is None else float(bias.detach()[named])
        assert maps.values[number].sum() + rest == pytest.approx(logits[number, named], abs=1e-4)
    np.testing.assert_allclose(maps.shares, torch.softmax(torch.from_numpy(logits), 1).max(1).values, atol=1e-5)


def test_a_reference_takes_off_what_is_common(bnneck_folder, paths):
    """All pictures alike: nothing is left at any location but an equal share of the whole."""
    located = locate(load_model(bnneck_folder), [paths[0], paths[0]], reference=[paths[0]] * 3)
    found = match_regions(located)
    np.testing.assert_allclose(found.a, 1 / found.a.size, atol=1e-9)


def test_without_a_classifier_there_is_energy_and_it_says_so(headless, paths, tmp_path):
    located = locate(headless, paths)
    maps = class_activation(located)
    assert (maps.kind, maps.classes) == ("activation energy", ())
    np.testing.assert_allclose(maps.values, (located.local**2).sum(3))
    draw_maps(located, maps, tmp_path / "energy.png")
    assert class_activation(locate(headless, paths, feature="f_t")).kind == "activation energy"


def test_the_classifier_of_bnneck_does_not_see_f_t(bnneck_folder, paths):
    assert class_activation(locate(load_model(bnneck_folder), paths, feature="f_t")).kind == "activation energy"


def made(local):
    """`Located` of hand-made locations (n, rows, columns, d)."""
    local = np.asarray(local, dtype=np.float64)
    pictures = np.full((len(local), 64, 32, 3), 128, np.uint8)
    return Located(pictures, local, local.mean(axis=(1, 2)), np.zeros((len(local), 0)), None)


def test_the_region_that_matches_is_found():
    local = np.zeros((2, 4, 2, 3))
    local[0, 0, 1] = local[1, 2, 0] = [0, 0, 5]  # the same thing in two places
    local[0, 3, 0], local[1, 1, 1] = [4, 0, 0], [0, 4, 0]  # and something of its own in each
    found = match_regions(made(local))
    assert found.cosine == pytest.approx(25 / 41)
    assert found.a[0, 1] == found.a.max() == pytest.approx(25 / 41)
    assert np.count_nonzero(found.a) == np.count_nonzero(found.b) == 1
    assert found.strongest(5) == [((0, 1), (2, 0), pytest.approx(25 / 41))]
    assert found.strongest(0) == []


def test_a_zero_feature_has_no_cosine():
    with pytest.raises(InputError, match="the feature of picture 2 is zero"):
        match_regions(made(np.stack([np.ones((2, 2, 3)), np.zeros((2, 2, 3))])))


def test_the_overlay_is_orange_where_a_location_speaks_for_it_and_blue_where_against(tmp_path, shares):
    local = np.zeros((2, 4, 2, 2))
    local[:, :2, :, 0], local[0, 2:, :, 0] = 3, -2
    located = made(local)
    draw_match(located, match_regions(located), tmp_path / "match.png", lines=2)

    assert shares(tmp_path / "match.png", (128, 128, 128), 1) > 0.2, "the pictures themselves"
    assert shares(tmp_path / "match.png", (192, 103, 32), 30) > 0.02, "for"
    assert shares(tmp_path / "match.png", (64, 118, 150), 40) > 0.02, "against"
    draw_maps(located, class_activation(located), tmp_path / "maps.png", columns=1)
    with pytest.raises(InputError, match="0 or more lines, got -1"):
        draw_match(located, match_regions(located), tmp_path / "x.png", lines=-1)
    with pytest.raises(InputError, match="at least 1 column"):
        draw_maps(located, class_activation(located), tmp_path / "x.png", columns=0)


def test_a_network_without_a_map_is_refused(paths):
    model = ReIDModel("vit_tiny_patch16_224", 3, last_stride=2, pretrained=False, image_size=(64, 32))
    loaded = LoadedModel(model.eval(), InputSpec(64, 32), "", {})
    with pytest.raises(InputError, match="'vit_tiny_patch16_224' is not the mean of a map of locations"):
        locate(loaded, paths)
    with pytest.raises(InputError, match="there are no pictures to look at"):
        locate(loaded, [])
