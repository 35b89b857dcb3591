"""What is particular to a server: addresses, a collection of others, and moving there."""

import numpy as np
import pytest
from tests.gallery.people import DIM, calibration, known, people

from strongreid.errors import InputError
from strongreid.gallery import Gallery
from strongreid.gallery.move import move


def test_moving_loses_nothing(tmp_path, memory):
    table, client = people(10), memory()
    more = known(table)
    with Gallery(tmp_path / "g", calibration=calibration()) as gallery:
        gallery.add(table.select(range(30)))
        gallery.add(table, **more)
        gallery.remove(identity=3)
        expected = gallery.search(table.features[40], top_k=100).to_dict()
        features = gallery.features([60, 7])
        described = gallery.info().description
    assert move(tmp_path / "g", "http://localhost:6333/night", client=client) == 78
    server = Gallery("http://localhost:6333/night", client=client)
    arrived = server.search(table.features[40], top_k=100).to_dict()
    for one, other in zip(expected.pop("matches"), arrived.pop("matches"), strict=True):
        for name in ("score", "distance", "probability"):
            assert one.pop(name) == pytest.approx(other.pop(name), abs=1e-6)
        assert one == other
    assert expected == arrived
    np.testing.assert_array_equal(server.features([60, 7]), features)
    assert server.info().description == described
    assert [line["what"] for line in server.audit()] == ["create", "move"]
    assert server.count(labels={"hat": True}) == 27
    with Gallery(tmp_path / "g") as gallery:
        assert len(gallery) == 78, "the folder stays as it is"
        assert gallery.audit()[-1]["to"] == "http://localhost:6333/night"
    client.delete("night", points_selector=[5, 6])  # as after a move that was interrupted
    assert move(tmp_path / "g", "http://localhost:6333/night", client=client) == 78
    assert len(server) == 78


def test_a_move_that_can_not_be_right_is_refused(tmp_path, memory):
    client = memory()
    for name, count in (("a", 3), ("b", 4)):
        with Gallery(tmp_path / name) as gallery:
            gallery.add(people(count))
    move(tmp_path / "a", "http://localhost:6333", client=client)
    with pytest.raises(InputError, match="holds another gallery: choose another name"):
        move(tmp_path / "b", "http://localhost:6333", client=client)
    server = Gallery("http://localhost:6333", client=client)
    server.add(people(2))
    with pytest.raises(InputError, match=r"has 30 entries, .* has 18; move to a new name"):
        move(tmp_path / "a", "http://localhost:6333", client=client)
    with pytest.raises(InputError, match="there is no gallery at"):
        move(tmp_path / "none", "http://localhost:6333/c", client=client)
    with pytest.raises(InputError, match="move goes from a folder to http://HOST:PORT/NAME"):
        move("http://localhost:6333", tmp_path / "a", client=client)
    assert not (tmp_path / "none").exists()
    assert not client.collection_exists("c")


def test_a_collection_of_others_is_refused_and_left_alone(memory):
    from qdrant_client import models

    client = memory()
    params = models.VectorParams(size=DIM, distance=models.Distance.COSINE)
    client.create_collection("people", vectors_config=params)
    with pytest.raises(InputError, match="the collection people on http://localhost:6333 is no gallery"):
        Gallery("http://localhost:6333", client=client)
    assert Gallery("http://localhost:6333/mine", client=client).add(people(2)).shape == (12,)
    assert {c.name for c in client.get_collections().collections} == {"people", "mine", "mine-about"}


def test_a_server_that_does_not_answer_is_said():
    with pytest.raises(InputError, match=r"http://127\.0\.0\.1:9/people does not answer as a Qdrant server does"):
        Gallery("http://127.0.0.1:9")


def test_a_name_that_no_server_takes_is_refused(memory):
    with pytest.raises(InputError, match="letters, digits, - and _; got 'a/b'"):
        Gallery("http://localhost:6333/a/b", client=memory())


def test_what_a_server_does_by_itself_is_refused(memory):
    gallery = Gallery("http://localhost:6333", client=memory())
    gallery.add(people(2))
    with pytest.raises(InputError, match="clears removed entries from its disk by itself"):
        gallery.compact()
    with pytest.raises(InputError, match="keeps its own index"):
        gallery.rebuild()
    assert "http://localhost:6333/people" in str(gallery.info())


def test_ids_are_unlike_those_of_others_who_add(memory):
    gallery = Gallery("http://localhost:6333", client=memory())
    taken = [gallery.add(people(2)) for _ in range(5)]
    assert len(np.unique(np.concatenate(taken))) == len(gallery) == 60
    assert all(np.diff(ids).tolist() == [1] * 11 for ids in taken)
