import numpy as np
import pytest

from strongreid.errors import InputError
from strongreid.evaluation import centre_cameras, evaluate
from strongreid.features import FeatureTable


def table(features, identities, cameras, model=""):
    return FeatureTable(
        np.asarray(features, dtype=np.float32),
        np.asarray(identities),
        np.asarray(cameras),
        tuple(f"{number}.jpg" for number in range(len(features))),
        model,
    )


@pytest.fixture
def place():
    """People whose features agree but for what their camera adds, which is larger than they are."""
    draw = np.random.default_rng(3)
    people = draw.normal(size=(30, 16))
    added = 4 * draw.normal(size=(2, 16))

    def seen(camera, number):
        features = people + added[camera - 1] + 0.05 * draw.normal(size=people.shape)
        return table(features, np.arange(30), np.full(30, camera), f"m{number}"[:1])

    query, other = seen(1, 0), seen(2, 1)
    gallery = table(
        np.concatenate([other.features, seen(1, 2).features]),
        np.concatenate([np.arange(30), np.arange(30)]),
        np.repeat([2, 1], 30),
        "m",
    )
    return query, gallery


def test_without_pull_the_gallery_of_each_camera_has_mean_zero(place):
    query, gallery = place
    centred_query, centred = centre_cameras(query, gallery, pull=0)
    for camera in (1, 2):
        rows = gallery.cameras == camera
        assert np.abs(centred.features[rows].mean(axis=0)).max() < 1e-5
    mean = gallery.features[gallery.cameras == 1].astype(np.float64).mean(axis=0)
    assert np.allclose(centred_query.features, query.features - mean, atol=1e-5)


def test_what_a_camera_adds_no_longer_hides_the_person(place):
    before, after = evaluate(*place), evaluate(*centre_cameras(*place, pull=0))
    assert before.rank(1) < 0.5
    assert after.rank(1) == 1.0


def test_the_pull_is_so_many_pictures_of_the_whole_gallery():
    query = table([[9.0, 9.0]], [1], [3])
    gallery = table([[1.0, 0.0], [3.0, 0.0], [0.0, 4.0]], [1, 2, 3], [1, 1, 2])
    everyone = np.array([4 / 3, 4 / 3])
    centred_query, centred = centre_cameras(query, gallery, pull=2)
    first = (np.array([4.0, 0.0]) + 2 * everyone) / 4  # two pictures, and two of everyone
    second = (np.array([0.0, 4.0]) + 2 * everyone) / 3
    assert np.allclose(centred.features, [[1, 0] - first, [3, 0] - first, [0, 4] - second], atol=1e-6)
    assert np.allclose(centred_query.features, [[9, 9] - everyone], atol=1e-6)  # a camera without gallery pictures


def test_the_tables_stay_and_the_model_says_what_was_done(place):
    query, gallery = place
    before = gallery.features.copy()
    _, centred = centre_cameras(query, gallery)
    assert np.array_equal(gallery.features, before)
    assert centred.model == "m+centred"
    assert centred.paths == gallery.paths


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gallery": table(np.zeros((0, 2)), [], [])}, "gallery is empty"),
        ({"gallery": table([[1.0]], [1], [1])}, "2 numbers, gallery features 1"),
        ({"pull": -1}, "pull is -1"),
        ({"pull": float("nan")}, "pull is nan"),
    ],
)
def test_wrong_input_is_refused(change, message):
    good = {"query": table([[1.0, 2.0]], [1], [1]), "gallery": table([[1.0, 2.0]], [1], [2])}
    with pytest.raises(InputError, match=message):
        centre_cameras(**{**good, **change})
