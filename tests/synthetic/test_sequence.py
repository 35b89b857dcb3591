"""Tracks: many frames of one passage, at an even pace."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from strongreid.errors import InputError
from strongreid.synthetic.dataset import WorldSettings
from strongreid.synthetic.passage import World
from strongreid.synthetic.plan import make_plan
from strongreid.synthetic.sequence import sequence
from strongreid.synthetic.take import passage_of

WORLD = WorldSettings(seed=3, train_identities=3, test_identities=2, cameras=2, height=64, width=32)
WALKER = 3


@pytest.fixture(scope="module")
def track():
    return list(sequence(WORLD, WALKER, 1, frames=12, fps=12.5))


def test_a_sequence_is_one_steady_walk(track):
    assert [frame.number for frame in track] == list(range(1, 13))
    assert all(frame.pixels.shape == (64, 32, 3) for frame in track)
    phases, places = np.diff([f.phase for f in track]), np.diff([f.place for f in track], axis=0)
    assert np.allclose(phases, phases[0])
    assert phases[0] > 0.1
    assert np.allclose(places, places[0], atol=1e-9)
    assert 0.5 < np.hypot(*places[0]) * 12.5 < 2.2, "metres a second"
    assert np.allclose(np.diff([f.seconds for f in track]), 1 / 12.5)
    assert all(not np.array_equal(a.pixels, b.pixels) for a, b in pairwise(track))


def test_it_is_the_passage_of_the_set(track):
    world, subject = World(WORLD), list(make_plan(WORLD))[WALKER - 1]
    shot = replace(subject.shots[0], camera=1)
    passage = passage_of(world, subject, shot)
    yaws = np.array([frame.yaw for frame in track])
    apart = (yaws - np.degrees(passage.yaw) + 180) % 360 - 180
    assert np.abs(apart).max() < 25
    assert track[0].camera == 1
    assert track[0].identity == WALKER


@pytest.mark.parametrize("frames", [1, 2, 400])
def test_any_number_of_frames_fits_the_passage(frames):
    places = []
    for count, frame in enumerate(sequence(WORLD, 1, 2, frames=frames), start=1):
        places.append(frame.place)
        if count == 3:
            break
    assert len(places) == min(frames, 3)


def test_the_same_sequence_twice_is_the_same(track):
    again = next(sequence(WORLD, WALKER, 1, frames=12, fps=12.5))
    assert np.array_equal(again.pixels, track[0].pixels)


@pytest.mark.parametrize(
    "wrong", [{"identity": 0}, {"identity": 6}, {"camera": 3}, {"camera": True}, {"frames": 0}, {"fps": 0}]
)
def test_a_sequence_of_nobody_is_refused(wrong):
    with pytest.raises(InputError, match="allowed is"):
        next(sequence(WORLD, **wrong))
